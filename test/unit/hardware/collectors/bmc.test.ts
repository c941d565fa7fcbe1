import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseLan, parseLan6, readBmc } from '../../../../agent/hardware/collectors/bmc.ts'
import { machineWith } from '../machine-fixture.ts'

describe('the BMC', () => {
  const LAN =
    'IP Address Source       : Static Address\nIP Address              : 192.0.2.200\nMAC Address             : AA:BB:CC:00:00:01\n'
  const UNSET = LAN.replace('192.0.2.200', '0.0.0.0')

  const bmcOf = async (answers: Readonly<Record<string, string>>) => {
    const lines = Object.entries(answers).map(([words, text]) => [`ipmitool ${words}`, text])
    await using machine = await machineWith({ '/dev/ipmi0': '' }, Object.fromEntries(lines))
    return { ...(await readBmc(machine)), ran: machine.ran }
  }

  test('is not asked for where there is no IPMI device', async () => {
    await using machine = await machineWith({}, { ipmitool: LAN })
    expect(await readBmc(machine)).toEqual({ address: null, v6Address: null, mac: null })
    expect(machine.ran).toEqual([])
  })

  test('is found on the first channel that has an address', async () => {
    const answers = { 'lan print 3': LAN, 'lan print 1': 'IP Address : 0.0.0.0\n' }
    const { ran, ...bmc } = await bmcOf(answers)
    expect(bmc).toEqual({
      address: '192.0.2.200',
      v6Address: '::/0',
      mac: 'aa:bb:cc:00:00:01',
    })
    expect(ran).not.toContain('ipmitool lan print 4')
  })

  test('without any address is 0.0.0.0 and ::/0, and has no MAC', async () => {
    const none = { address: '0.0.0.0', v6Address: '::/0', mac: null }
    expect(await bmcOf({})).toMatchObject(none)
    expect(await bmcOf({ 'lan print 1': UNSET })).toMatchObject(none)
  })

  test('is asked nothing twice, whatever it answers', async () => {
    const { ran } = await bmcOf({
      'lan print': UNSET,
      'lan6 print': 'IPv6/IPv4 Addressing Enables: both\n',
    })
    expect(new Set(ran).size).toBe(ran.length)
    expect(ran.length).toBe(11 * 4)
  })

  test('has the MAC of the first channel with both, which may be another than the first address', async () => {
    const noMac = 'IP Address : 192.0.2.9\n'
    expect(await bmcOf({ 'lan print 1': noMac, 'lan print 8': LAN })).toMatchObject({
      address: '192.0.2.9',
      mac: 'aa:bb:cc:00:00:01',
    })
  })

  test.each([
    ['00:00:00:00:00:00', null],
    ['aa:bb:cc:00:00', null],
    ['AA:bb:CC:00:00:02', 'aa:bb:cc:00:00:02'],
  ])('that prints the MAC %s has %j', (mac, expected) => {
    expect(parseLan(`MAC Address : ${mac}\n`)).toEqual({ address: null, mac: expected })
  })

  test.each(['0.0.0.0', '999.1.1.1', 'none', ''])('has no address "%s"', (address) => {
    expect(parseLan(`IP Address              : ${address}\n`)).toEqual({ address: null, mac: null })
  })
})

describe('the IPv6 address of the BMC', () => {
  const enables = (value: string) => `IPv6/IPv4 Support:
    IPv6 only: no
    IPv4 and IPv6: yes
IPv6/IPv4 Addressing Enables: ${value}
`
  const fixed = (address: string, enabled = 'yes', status = 'active') => `IPv6 Static Address 0:
    Enabled:        ${enabled}
    Address:        ${address}
    Status:         ${status}
`
  const dynamic = (address: string, source = 'SLAAC', status = 'active') => `IPv6 Dynamic Address 0:
    Source/Type:    ${source}
    Address:        ${address}
    Status:         ${status}
`
  const LAN4 = 'IP Address : 0.0.0.0\nMAC Address : aa:bb:cc:00:00:01\n'

  const bmcOf = async (answers: Readonly<Record<string, string>>) => {
    const lines = Object.entries(answers).map(([words, text]) => [`ipmitool ${words}`, text])
    await using machine = await machineWith({ '/dev/ipmi0': '' }, Object.fromEntries(lines))
    return await readBmc(machine)
  }

  test('is a dynamic one before a static one', async () => {
    const answers = {
      'lan6 print 1 enables': enables('both'),
      'lan6 print 1 static_addr': fixed('2001:db8::1/64'),
      'lan6 print 1 dynamic_addr': dynamic('2001:db8::2/64'),
    }
    expect((await bmcOf(answers)).v6Address).toBe('2001:db8::2')
    const { 'lan6 print 1 dynamic_addr': _, ...without } = answers
    expect((await bmcOf(without)).v6Address).toBe('2001:db8::1')
  })

  test('is looked for on every channel, whichever has the IPv4 address', async () => {
    expect(
      await bmcOf({
        'lan print 1': 'IP Address : 192.0.2.9\nMAC Address : aa:bb:cc:00:00:01\n',
        'lan6 print 1 enables': enables('ipv4'),
        'lan6 print 8 enables': enables('ipv6'),
        'lan6 print 8 dynamic_addr': dynamic('2001:db8::8/64', 'DHCPv6'),
      }),
    ).toEqual({ address: '192.0.2.9', v6Address: '2001:db8::8', mac: 'aa:bb:cc:00:00:01' })
  })

  test.each(['ipv4', 'none', '', 'unknown'])(
    'is none where "Addressing Enables" says "%s"',
    async (value) => {
      const answers = {
        'lan6 print 1 enables': enables(value),
        'lan6 print 1 dynamic_addr': dynamic('2001:db8::2/64'),
      }
      expect((await bmcOf(answers)).v6Address).toBe('::/0')
    },
  )

  test.each([
    ['static and disabled', fixed('2001:db8::1/64', 'no')],
    ['static and pending', fixed('2001:db8::1/64', 'yes', 'pending')],
    ['dynamic of no source', dynamic('2001:db8::2/64', 'Unknown')],
    ['dynamic and deprecated', dynamic('2001:db8::2/64', 'SLAAC', 'deprecated')],
    ['unset', fixed('::/0')],
    ['unset with 128 bits', dynamic('::/128')],
    ['no address', fixed('enabled')],
    ['nothing', ''],
  ])('is not one that is %s; the next counts', (_what, text) => {
    expect(parseLan6(text)).toBeNull()
    const next = dynamic('2001:db8::3/64', 'DHCPv6').replace('Address 0', 'Address 1')
    expect(parseLan6(text + next)).toBe('2001:db8::3')
  })

  test.each([
    ['2001:db8::1/64', 'aa:bb:cc:00:00:01'],
    ['fe80::1/64', null],
    ['FE80::1/64', null],
    ['::/0', null],
  ])('%s alone makes the MAC %j', async (address, mac) => {
    const answers = {
      'lan print 1': LAN4,
      'lan6 print 1 enables': enables('both'),
      'lan6 print 1 dynamic_addr': dynamic(address),
    }
    expect((await bmcOf(answers)).mac).toBe(mac)
  })

  test('is found or not, but breaks on nothing that ipmitool may print', () => {
    const words = ['IPv6 Static Address 0:', 'IPv6 Dynamic', '    Address:', '::1/64', '\n', ': ']
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constantFrom(...words), fc.string())), (parts) => {
        const found = parseLan6(parts.join(''))
        expect(found === null || /^[0-9a-f:.%]+/i.test(found)).toBe(true)
        parseLan(parts.join(''))
      }),
    )
  })
})
