import { describe, expect, test } from 'vitest'
import { missingLinks, planNetwork } from '../../../../agent/system/network/link-plan.ts'
import { type MachineLink, parseLinks } from '../../../../agent/system/network/machine-links.ts'
import { parseNetworkData } from '../../../../agent/system/network/network-data.ts'

const MACHINE: readonly MachineLink[] = [
  { name: 'eno1', macs: ['52:54:00:00:00:01'], kind: undefined },
  { name: 'eno2', macs: ['52:54:00:00:00:02'], kind: undefined },
]
const nic = (id: string, n: number) => ({
  ...{ id, type: 'phy', ethernet_mac_address: `52:54:00:00:00:0${n}` },
})
const [A, B] = [nic('a', 1), nic('b', 2)]
const BOND = { id: 'bond0', type: 'bond', bond_mode: 'active-backup', bond_links: ['a', 'b'] }
const vlan = (vlan_link: string, vlan_id: number) => ({
  ...{ id: `${vlan_link}-${vlan_id}`, type: 'vlan', vlan_link, vlan_id },
})
const v4 = (link: string, more: object = {}) => ({
  ...{ link, type: 'ipv4', ip_address: '192.0.2.10', netmask: '255.255.255.0', ...more },
})
const v6 = (link: string) => ({ link, type: 'ipv6', ip_address: '2001:db8::10/64' })

function plan(links: object[], networks: object[], machine = MACHINE) {
  const data = parseNetworkData(JSON.stringify({ links, networks }))
  const { commands, ...rest } = planNetwork(data, machine)
  return { ...rest, lines: commands.map((argv) => argv.join(' ')) }
}

describe('the plan of a network', () => {
  test('makes a bond of the interfaces and a VLAN on it, whatever order the file has', () => {
    const { lines, claimed, warnings } = plan(
      [vlan('bond0', 100), BOND, A, B],
      [v4('bond0-100', { routes: [{ network: '0.0.0.0', netmask: '0', gateway: '192.0.2.1' }] })],
    )
    expect(lines).toEqual([
      'ip link set dev eno1 up',
      'ip link set dev eno2 up',
      'ip link add name bond0 type bond mode active-backup miimon 100',
      'ip link set dev eno1 down',
      'ip link set dev eno1 master bond0',
      'ip link set dev eno1 up',
      'ip link set dev eno2 down',
      'ip link set dev eno2 master bond0',
      'ip link set dev eno2 up',
      'ip link set dev bond0 up',
      'ip link add link bond0 name bond0.100 type vlan id 100',
      'ip link set dev bond0.100 up',
      'ip address replace 192.0.2.10/24 broadcast + dev bond0.100',
      'ip -4 route replace default via 192.0.2.1 dev bond0.100 metric 100',
    ])
    expect(claimed).toEqual(['bond0.100', 'eno1', 'eno2'])
    expect(warnings).toEqual([])
  })

  test('puts a VLAN onto a VLAN', () => {
    const { lines } = plan([vlan('a-5', 6), vlan('a', 5), A], [])
    expect(lines.filter((line) => line.includes(' add '))).toEqual([
      'ip link add link eno1 name eno1.5 type vlan id 5',
      'ip link add link eno1.5 name eno1.5.6 type vlan id 6',
    ])
  })

  test.each([
    ['has a line break', 'bond\n0'],
    ['would be an option', '-bond'],
    ['is a path', '../bond'],
    ['is longer than the kernel takes', 'a-very-long-name-of-a-bond'],
    ['is the name of an interface', 'eno2'],
    ['is a name that sysctl has for all interfaces', 'all'],
    ['is a name that sysctl has for new interfaces', 'default'],
  ])('gives a bond a name of its own where its id %s', (_why, id) => {
    const { lines } = plan([A, { ...BOND, id, bond_links: ['a'] }], [])
    expect(lines[1]).toBe('ip link add name bond0 type bond mode active-backup miimon 100')
  })

  test('gives a VLAN a name that the kernel takes and the inventory knows', () => {
    const long = [{ name: 'enp129s0f1np1', macs: ['52:54:00:00:00:01'], kind: undefined }]
    const { lines } = plan([A, vlan('a', 4094)], [], long)
    expect(lines[1]).toBe('ip link add link enp129s0f1np1 name vlan0.4094 type vlan id 4094')
  })

  test('finds an interface by the address that it was made with', () => {
    const text = JSON.stringify([
      { ifname: 'lo', link_type: 'loopback', address: '00:00:00:00:00:00' },
      { ifname: 'bond7', address: '52:54:00:00:00:01', linkinfo: { info_kind: 'bond' } },
      { ifname: 'eno9', address: '52:54:00:00:00:09', permaddr: '52:54:00:00:00:01' },
    ])
    expect(plan([A], [v4('a')], parseLinks(text)).lines.at(-1)).toContain('dev eno9')
  })

  test('leaves out what the machine lacks, and says so', () => {
    const { lines, warnings } = plan([A, nic('c', 3), vlan('c', 7)], [v4('a'), v4('c'), v4('c-7')])
    expect(lines).toEqual([
      'ip link set dev eno1 up',
      'ip address replace 192.0.2.10/24 broadcast + dev eno1',
    ])
    expect(warnings).toEqual([
      'link c (52:54:00:00:00:03) is no interface of this machine; what lies on it is left out',
      'link c-7 is left out: it lies on what is missing, or on itself',
    ])
    const data = parseNetworkData(JSON.stringify({ links: [A, nic('c', 3)], networks: [] }))
    expect(missingLinks(data, MACHINE).map(({ id }) => id)).toEqual(['c'])
  })

  test('makes a bond of the members that there are', () => {
    const { lines } = plan([A, nic('c', 3), { ...BOND, bond_links: ['a', 'c'] }], [])
    expect(lines.filter((line) => line.includes('master'))).toEqual([
      'ip link set dev eno1 master bond0',
    ])
  })

  test('ends for links that lie on each other', () => {
    const { lines, warnings } = plan(
      [{ ...vlan('y', 1), id: 'x' }, { ...vlan('x', 2), id: 'y' }, A],
      [v4('x')],
    )
    expect(lines).toEqual(['ip link set dev eno1 up'])
    expect(warnings).toEqual([
      'link x is left out: it lies on what is missing, or on itself',
      'link y is left out: it lies on what is missing, or on itself',
    ])
  })

  test('says that a gateway is on the link where no network has it', () => {
    const route = { network: '0.0.0.0', netmask: '0.0.0.0', gateway: '203.0.113.1' }
    const { lines } = plan([A], [v4('a', { netmask: '255.255.255.255', routes: [route] })])
    expect(lines.slice(-2)).toEqual([
      'ip address replace 192.0.2.10/32 dev eno1',
      'ip -4 route replace default via 203.0.113.1 dev eno1 metric 100 onlink',
    ])
  })

  test('wants the first default route most', () => {
    const route = { network: '0.0.0.0', netmask: '0', gateway: '192.0.2.1' }
    const { lines } = plan([A, B], [v4('a', { routes: [route] }), v4('b', { routes: [route] })])
    expect(lines.filter((line) => line.includes('default'))).toEqual([
      'ip -4 route replace default via 192.0.2.1 dev eno1 metric 100',
      'ip -4 route replace default via 192.0.2.1 dev eno2 metric 101',
    ])
  })

  test.each<[string, object[], string[], string[]]>([
    ['IPv4 alone', [v4('a')], ['eno1'], []],
    ['IPv6 alone', [v6('a')], ['eno1'], ['eno1']],
    ['IPv4, the kernel gives IPv6', [v4('a'), { link: 'a', type: 'ipv6_slaac' }], ['eno1'], []],
    ['both, the kernel gives more', [v6('a'), { link: 'a', type: 'ipv6_slaac' }], ['eno1'], []],
    ['IPv6, DHCP gives IPv4', [v6('a'), { link: 'a', type: 'ipv4_dhcp' }], [], []],
    ['nothing', [{ link: 'a', type: 'ipv4_dhcp' }], [], []],
  ])('static is %s: whom DHCP and routers may not touch', (_what, networks, claimed, deaf) => {
    expect(plan([A], networks)).toMatchObject({ claimed, deaf })
  })
})
