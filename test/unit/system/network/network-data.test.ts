import { describe, expect, test } from 'vitest'
import { isAgentError } from '../../../../agent/core/errors.ts'
import { parseNetworkData } from '../../../../agent/system/network/network-data.ts'

const NIC = { id: 'nic', type: 'phy', ethernet_mac_address: '52:54:00:AA:00:01' }
const OTHER = { id: 'other', type: 'ovs', ethernet_mac_address: '52-54-00-aa-00-02', mtu: null }
const BOND = { id: 'bond0', type: 'bond', bond_mode: '802.3ad', bond_links: ['nic', 'other'] }
const VLAN = { id: 'v', type: 'vlan', vlan_link: 'nic', vlan_id: 100, vlan_mac_address: null }
const V4 = {
  id: 'n',
  link: 'nic',
  type: 'ipv4',
  ip_address: '192.0.2.10',
  netmask: '255.255.255.0',
}
const V6 = { id: 'n', link: 'nic', type: 'ipv6', ip_address: '2001:db8::10/64' }
const ROUTE = { network: '0.0.0.0', netmask: '0.0.0.0', gateway: '192.0.2.1' }

function parse(parts: { links?: unknown; networks?: unknown; services?: unknown }) {
  return parseNetworkData(JSON.stringify({ links: [NIC], networks: [], services: [], ...parts }))
}

describe('network_data.json', () => {
  test("is read as Ironic's Neutron integration writes it", () => {
    const data = parse({
      links: [{ ...NIC, vif_id: 'v', mtu: 1450 }],
      networks: [{ ...V4, network_id: 'x', routes: [ROUTE] }],
      services: [
        { type: 'dns', address: '192.0.2.53' },
        { type: 'dns', address: '192.0.2.53' },
        { type: 'ntp', address: 'x' },
      ],
    })
    expect(data).toEqual({
      links: [{ kind: 'physical', id: 'nic', mac: '52:54:00:aa:00:01', mtu: 1450 }],
      networks: [
        {
          ...{ link: 'nic', method: 'static' },
          address: { ip: '192.0.2.10', prefix: 24, family: 4 },
          routes: [{ network: '0.0.0.0', prefix: 0, gateway: '192.0.2.1', family: 4 }],
        },
      ],
      nameServers: ['192.0.2.53'],
    })
  })

  test('may have bonds and VLANs, numbers as text among them', () => {
    const { links } = parse({
      links: [
        ...[NIC, OTHER, { ...VLAN, vlan_id: '100' }],
        { ...BOND, bond_miimon: '50', bond_xmit_hash_policy: 'layer3+4', bond_lacp_rate: 'fast' },
      ],
    })
    expect(links.slice(2)).toEqual([
      { kind: 'vlan', id: 'v', mac: null, mtu: null, vlanId: 100, parent: 'nic' },
      {
        ...{ kind: 'bond', id: 'bond0', mac: null, mtu: null, mode: '802.3ad' },
        ...{ members: ['nic', 'other'], miimonMs: 50 },
        ...{ xmitHashPolicy: 'layer3+4', lacpRate: 'fast' },
      },
    ])
  })

  test("takes the schema's 802.1ad for 802.3ad, and a bond without mode for active-backup", () => {
    const modeOf = (bond: object) => {
      const { links } = parse({ links: [NIC, OTHER, bond] })
      return links.find(({ kind }) => kind === 'bond')
    }
    expect(modeOf({ ...BOND, bond_mode: '802.1ad' })).toMatchObject({ mode: '802.3ad' })
    expect(modeOf({ ...BOND, bond_mode: undefined })).toMatchObject({ mode: 'active-backup' })
  })

  test.each([
    ['ipv4_dhcp', 'dhcp'],
    ['ipv6_dhcp', 'dhcp'],
    ['ipv6_dhcpv6-stateless', 'dhcp'],
    ['ipv6_slaac', 'slaac'],
  ])('leaves a network of type %s to others', (type, method) => {
    const { networks } = parse({ networks: [{ link: 'nic', type }] })
    expect(networks).toEqual([{ link: 'nic', method, address: undefined, routes: [] }])
  })

  test('finds name servers of networks and routes, and a gateway beside the routes', () => {
    const services = [{ type: 'dns', address: '2001:db8::53' }]
    const route = { network: '198.51.100.0', netmask: '24', gateway: '192.0.2.2' }
    const data = parse({
      networks: [
        { ...V4, gateway: '192.0.2.1', routes: [{ ...route, services }] },
        { ...V6, services: [{ type: 'dns', address: '192.0.2.53' }] },
      ],
    })
    expect(data.nameServers).toEqual(['192.0.2.53', '2001:db8::53'])
    expect(data.networks[0]?.routes).toEqual([
      { network: '198.51.100.0', prefix: 24, gateway: '192.0.2.2', family: 4 },
      { network: '0.0.0.0', prefix: 0, gateway: '192.0.2.1', family: 4 },
    ])
  })

  test.each<[string, Parameters<typeof parse>[0], string]>([
    ['links that are no list', { links: {} }, 'links is no list of objects'],
    ['a link that is no object', { links: ['eth0'] }, 'links is no list of objects'],
    ['a link without id', { links: [{ ...NIC, id: '' }] }, 'links[0].id must be text, is ""'],
    ['two links of one id', { links: [NIC, NIC] }, 'two have the id "nic"'],
    ['513 links', { links: Array(513).fill(NIC) }, 'links has 513 items, at most 512'],
    ['a MAC address', { links: [{ ...NIC, ethernet_mac_address: '52:54' }] }, 'no MAC address'],
    ['an MTU', { links: [{ ...NIC, mtu: 1 }] }, 'links[0].mtu is 1; it must be a number from 68'],
    ['VLAN 0', { links: [NIC, { ...VLAN, vlan_id: 0 }] }, 'a number from 1 to 4094'],
    ['VLAN 4095', { links: [NIC, { ...VLAN, vlan_id: 4095 }] }, 'a number from 1 to 4094'],
    [
      'a VLAN on nothing',
      { links: [{ ...VLAN }] },
      'links[0].vlan_link "nic" is the id of no link',
    ],
    ['a bond of nothing', { links: [{ ...BOND, bond_links: [] }] }, 'links[0].bond_links must be'],
    ['a bond of strangers', { links: [BOND] }, 'links[0].bond_links "nic" is the id of no link'],
    ['a bond mode', { links: [NIC, { ...BOND, bond_mode: 'lacp' }] }, 'there are balance-rr'],
    ['a network on nothing', { networks: [{ ...V4, link: 'x' }] }, 'links are "nic"'],
    ['a network type', { networks: [{ ...V4, type: 'ipx' }] }, 'networks[0].type is "ipx"'],
    ['an address', { networks: [{ ...V4, ip_address: '192.0.2' }] }, 'which is no IPv4 address'],
    ['a zone', { networks: [{ ...V6, ip_address: 'fe80::1%eth0/64' }] }, 'no IPv6 address'],
    ['an option as address', { networks: [{ ...V4, ip_address: '-6' }] }, 'no IPv4 address'],
    ['no netmask', { networks: [{ ...V4, netmask: undefined }] }, 'networks[0].netmask nothing is'],
    ['a netmask', { networks: [{ ...V4, netmask: '255.0.255.0' }] }, 'is no netmask of IPv4'],
    [
      'a gateway of the other family',
      { networks: [{ ...V4, routes: [{ ...ROUTE, gateway: 'fe80::1' }] }] },
      'networks[0].routes[0].gateway is "fe80::1", which is no IPv4 address',
    ],
    ['a name server', { services: [{ type: 'dns', address: 'ns\noptions x' }] }, 'no address of a'],
  ])('is refused with the place for %s', (_what, parts, words) => {
    const refused = () => parse(parts)
    expect(refused).toThrow(words)
    expect(refused).toThrow(expect.objectContaining({ type: 'InvalidConfigError' }))
  })

  test.each([
    ['no JSON', '{', 'network_data.json is no JSON'],
    ['no object', '[]', 'network_data.json is no JSON object'],
    ['a mebibyte and more', ' '.repeat(1024 * 1024 + 1), 'at most 1048576 are read'],
  ])('is refused as %s', (_what, text, words) => {
    expect(() => parseNetworkData(text)).toThrow(words)
  })

  test('ends in a known error whatever is in it', () => {
    const strange = [null, true, 7, -1, 'x', [], {}, [[]], [null]]
    for (const key of ['links', 'networks', 'services']) {
      for (const value of strange) {
        for (const whole of [value, [{ ...NIC, type: value }], [{ ...V4, routes: value }]]) {
          try {
            parse({ [key]: whole })
          } catch (error) {
            expect(isAgentError(error, 'InvalidConfigError')).toBe(true)
          }
        }
      }
    }
  })
})
