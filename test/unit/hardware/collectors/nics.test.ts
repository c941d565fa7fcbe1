import { describe, expect, test } from 'vitest'
import { parseSupportedSpeed } from '../../../../agent/hardware/collectors/link-speed.ts'
import {
  type NicDeps,
  openNicReader,
  parseAddresses,
} from '../../../../agent/hardware/collectors/nics.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'
import { machineWith, NIC_FILES } from '../machine-fixture.ts'

const log = createLogger({ level: 'silent' })

const IP_OUTPUT = JSON.stringify([
  {
    ifname: 'eno1',
    addr_info: [
      { family: 'inet', local: '192.0.2.10', scope: 'global' },
      { family: 'inet6', local: 'fe80::5054:ff:feaa:bb01', scope: 'link' },
    ],
  },
])

/** Those that can be described. */
async function listNetworkInterfaces(deps: NicDeps) {
  const reader = await openNicReader(deps)
  const found = await Promise.allSettled(reader.names.map((name) => reader.describe(name)))
  return found.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
}

async function interfacesOf(
  files: Readonly<Record<string, string>>,
  links: readonly object[] = [],
  answers: Readonly<Record<string, string>> = {},
) {
  const ip = { 'ip -json address': JSON.stringify(links) }
  await using machine = await machineWith(files, { ...ip, ...answers })
  const lines: string[] = []
  const warning = createLogger({
    level: 'warn',
    destination: { write: (line) => lines.push(line) },
  })
  const interfaces = await listNetworkInterfaces({ ...machine, log: warning })
  const warnings: unknown[] = lines.map((line) => JSON.parse(line))
  return { interfaces, warnings }
}

function nic(name: string, address: string, more: Readonly<Record<string, string>> = {}) {
  const folder = `/sys/class/net/${name}`
  const extra = Object.entries(more).map(([key, text]) => [`${folder}/${key}`, text])
  return { [`${folder}/address`]: `${address}\n`, ...Object.fromEntries(extra) }
}

describe('network interfaces', () => {
  test('are those with hardware, VLANs and bonds, each with all keys', async () => {
    await using machine = await machineWith(NIC_FILES, { 'ip -json address': IP_OUTPUT })
    const interfaces = await listNetworkInterfaces({ ...machine, log })
    expect(interfaces.map(({ name }) => name)).toEqual(['bond0', 'eno1', 'eno1.100'])
    expect(interfaces[1]).toEqual({
      name: 'eno1',
      mac_address: '52:54:00:aa:bb:01',
      ipv4_address: '192.0.2.10',
      ipv6_address: 'fe80::5054:ff:feaa:bb01%eno1',
      has_carrier: true,
      lldp: null,
      vendor: '0x8086',
      product: '0x1521',
      client_id: null,
      biosdevname: null,
      speed_mbps: 1000,
      pci_address: '0000:01:00.0',
      driver: 'igb',
    })
    expect(interfaces[0]).toMatchObject({ has_carrier: false, speed_mbps: null, driver: null })
  })

  test('prefer a global IPv6 address, which has no zone', () => {
    const text = JSON.stringify([
      {
        ifname: 'a',
        addr_info: [
          { family: 'inet6', local: 'fe80::1', scope: 'link' },
          { family: 'inet6', local: '2001:db8::1', scope: 'global' },
        ],
      },
    ])
    expect(parseAddresses(text).get('a')).toEqual({
      ipv4: null,
      ipv6: '2001:db8::1',
      permanentMac: null,
    })
  })
})

describe('the name that the firmware gives', () => {
  const files = { ...nic('eno1', '52:54:00:00:00:01'), ...nic('eno1.7', '52:54:00:00:00:01') }

  test('is what biosdevname says, which is not asked about a VLAN', async () => {
    const { interfaces } = await interfacesOf(files, [], { 'biosdevname -i': 'em1\n' })
    expect(interfaces).toMatchObject([
      { name: 'eno1', biosdevname: 'em1' },
      { name: 'eno1.7', biosdevname: null },
    ])
  })

  test('is null without the program, and where it fails as in a virtual machine', async () => {
    expect((await interfacesOf(files)).interfaces).toMatchObject([
      { biosdevname: null },
      { biosdevname: null },
    ])
  })
})

describe('the MAC address of an interface', () => {
  const macsOf = async (...args: Parameters<typeof interfacesOf>) =>
    (await interfacesOf(...args)).interfaces.map((one) => `${one.name} ${one.mac_address}`)
  const bond = nic('bond0', '52:54:00:00:00:10', { 'bonding/mode': 'active-backup 1\n' })

  test('is the permanent one of each member of a bond, which carries that of the first', async () => {
    const files = {
      ...bond,
      ...nic('eno0', '52:54:00:00:00:10'),
      ...nic('eno1', '52:54:00:00:00:10'),
    }
    const links = [
      { ifname: 'eno0', address: '52:54:00:00:00:10' },
      { ifname: 'eno1', address: '52:54:00:00:00:10', permaddr: '52:54:00:00:00:1A' },
      { ifname: 'bond0', address: '52:54:00:00:00:10' },
    ]
    expect(await macsOf(files, links)).toEqual([
      'bond0 52:54:00:00:00:10',
      'eno0 52:54:00:00:00:10',
      'eno1 52:54:00:00:00:1a',
    ])
  })

  test('is what the bond noted of its member where the driver names no permanent one', async () => {
    const files = nic('eno1', '52:54:00:00:00:10', {
      'bonding_slave/perm_hwaddr': '52:54:00:00:00:11\n',
    })
    expect(await macsOf(files)).toEqual(['eno1 52:54:00:00:00:11'])
  })

  test('is the permanent one of a NIC that was given another', async () => {
    const links = [{ ifname: 'eth0', address: '02:00:00:00:00:01', permaddr: '52:54:00:00:00:11' }]
    expect(await macsOf(nic('eth0', '02:00:00:00:00:01'), links)).toEqual([
      'eth0 52:54:00:00:00:11',
    ])
  })

  test.each(['00:00:00:00:00:00', '', null, 7])(
    'is the one it has where the permanent one is %j',
    async (permaddr) => {
      const links = [{ ifname: 'eth0', permaddr }]
      expect(await macsOf(nic('eth0', '52:54:00:00:00:01'), links)).toEqual([
        'eth0 52:54:00:00:00:01',
      ])
    },
  )

  test('of InfiniBand has 20 octets', async () => {
    const mac = `80:00:02:08:fe:80${':00'.repeat(6)}:00:02:c9:03:00:0a:6f:01`
    expect(await macsOf(nic('ib0', mac))).toEqual([`ib0 ${mac}`])
  })
})

describe('an interface is left out', () => {
  const NAMES = (list: readonly { name: string }[]) => list.map(({ name }) => name)

  test.each([
    ['has an address of fa:', nic('usb0', 'FA:4b:7f:11:22:33'), []],
    [
      'has a permanent address of fa:, whatever it was given',
      nic('usb0', '52:54:00:00:00:09'),
      [{ ifname: 'usb0', permaddr: 'fa:4b:7f:11:22:33' }],
    ],
    ['is a VLAN on such a NIC', nic('usb0.7', 'fa:4b:7f:11:22:33'), []],
  ])('that %s, with a warning that names it', async (_what, files, links) => {
    const { interfaces, warnings } = await interfacesOf(
      { ...nic('eno0', '52:54:00:00:00:10'), ...files },
      links,
    )
    expect(NAMES(interfaces)).toEqual(['eno0'])
    expect(warnings).toMatchObject([
      { interface: expect.stringMatching(/^usb0/), mac_address: 'fa:4b:7f:11:22:33' },
    ])
  })

  test('that has no address, without a word', async () => {
    const { interfaces, warnings } = await interfacesOf({
      ...nic('eno0', '52:54:00:00:00:10'),
      ...nic('wwan0', ''),
      ...nic('wwan1', '00:00:00:00:00:00'),
      '/sys/class/net/wwan2/carrier': '1\n',
    })
    expect(NAMES(interfaces)).toEqual(['eno0'])
    expect(warnings).toEqual([])
  })

  test.each(['f8:4b:7f:11:22:33', '02:fa:7f:11:22:33', 'af:a4:7f:11:22:33', '0f:a0:00:00:00:01'])(
    'unless its address merely looks like one: %s',
    async (mac) => {
      const { interfaces } = await interfacesOf(nic('eno0', mac))
      expect(interfaces).toMatchObject([{ name: 'eno0', mac_address: mac }])
    },
  )
})

describe('the speed of an interface', () => {
  const settings = (modes: string) => `Settings for eno1:
\tSupported ports: [ TP    MII ]
\tSupported link modes:   ${modes}
\tSupported pause frame use: Symmetric
\tAdvertised link modes:  10000baseT/Full
\tSpeed: Unknown!
\tLink detected: no
`
  const speedOf = async (ethtool: string | undefined, speed?: string) => {
    const files = nic('eno1', '52:54:00:00:00:01', speed === undefined ? {} : { speed })
    const answers = ethtool === undefined ? {} : { 'ethtool eno1': ethtool }
    return (await interfacesOf(files, [], answers)).interfaces[0]?.speed_mbps
  }

  test.each([
    ['10baseT/Half 10baseT/Full\n\t                        1000baseT/Full', 1000],
    ['100baseT/Full\n\t\t1000baseKX/Full\n\t\t10000baseR_FEC', 10_000],
    ['2500baseX/Full 1000baseT/Full', 2500],
    ['100000baseLR4_ER4/Full', 100_000],
    ['400000baseSR8/Full', 400_000],
    ['Not reported', null],
    ['', null],
  ])('without a link is the fastest of its modes: %j', async (modes, mbps) => {
    expect(await speedOf(settings(modes))).toBe(mbps)
    expect(parseSupportedSpeed(settings(modes).replaceAll('\n', '\r\n'))).toBe(mbps)
  })

  test('is what it is able to, also where its link is slower', async () => {
    expect(await speedOf(settings('1000baseT/Full 10000baseT/Full'), '1000\n')).toBe(10_000)
  })

  test.each([
    ['it names no modes', settings('Not reported')],
    ['ethtool prints nothing', ''],
    ['there is no ethtool', undefined],
  ])('is that of its link where %s', async (_what, ethtool) => {
    expect(await speedOf(ethtool, '25000\n')).toBe(25_000)
    expect(await speedOf(ethtool, '-1\n')).toBeNull()
    expect(await speedOf(ethtool, '4294967295\n')).toBeNull()
  })
})
