import { expect, test } from 'vitest'
import { switchFacts } from '../../../../agent/system/lldp/switch-facts.ts'

/** Type and value in hex, as Ironic is told. */
const factsOf = (...tlvs: readonly (readonly [number, string])[]) =>
  switchFacts(tlvs.map(([type, hex]) => ({ type, value: Buffer.from(hex, 'hex') })))
const hex = (text: string) => Buffer.from(text).toString('hex')

test('a switch of a data centre is told in the names of Ironic', () => {
  expect(
    factsOf(
      [1, '0464649b32f300'],
      [2, `05${hex('ge-0/0/35')}`],
      [3, '0078'],
      [4, hex('server 12')],
      [5, hex('tor-1')],
      [6, hex('Juniper Networks, Inc.')],
      [7, '00140014'],
      [8, '0501c000020b0200000000'],
      [8, `1102${'20010db8000000000000000000000001'}0200000000`],
      [127, `0080c201${'0064'}`],
      [127, `0080c203${'0065'}06${hex('vlan-a')}`],
      [127, `0080c203${'0066'}06${hex('vlan-b')}`],
      [127, '0080c206000a'],
      [127, '0080c2070300000007'],
      [127, '00120f01036c110010'],
      [127, '00120f0405ea'],
      [0, ''],
    ),
  ).toEqual({
    switch_chassis_id: '64:64:9b:32:f3:00',
    switch_port_id: 'ge-0/0/35',
    switch_port_description: 'server 12',
    switch_system_name: 'tor-1',
    switch_system_description: 'Juniper Networks, Inc.',
    switch_capabilities_support: ['Bridge', 'Router'],
    switch_capabilities_enabled: ['Bridge', 'Router'],
    switch_mgmt_addresses: ['192.0.2.11', '2001:db8::1'],
    switch_port_untagged_vlan_id: 100,
    switch_port_vlans: [
      { name: 'vlan-a', id: 101 },
      { name: 'vlan-b', id: 102 },
    ],
    switch_port_management_vlan_id: 10,
    switch_port_link_aggregation_enabled: true,
    switch_port_link_aggregation_support: true,
    switch_port_link_aggregation_id: 7,
    switch_port_autonegotiation_enabled: true,
    switch_port_autonegotiation_support: true,
    switch_port_mtu: 1514,
  })
})

test.each([
  ['a chassis that is an address', [1, '0501c0000201'], { switch_chassis_id: '192.0.2.1' }],
  ['a port that is a MAC address', [2, '0364649b32f300'], { switch_port_id: '64:64:9b:32:f3:00' }],
  ['a MAC address that is too short', [1, '0464649b'], {}],
  ['an address of no family', [1, '0509c0000201'], {}],
  ['text that is no UTF-8', [5, 'ff00fe'], {}],
  ['capabilities that are cut', [7, '0014'], {}],
  ['a management address without an end', [8, 'ff01c0'], {}],
  ['an organization that is cut', [127, '0080'], {}],
  ['a VLAN that is cut', [127, '0080c20300'], {}],
  ['an organization that nobody knows', [127, '00000c0101'], {}],
  ['nothing', [1, ''], {}],
] as const)('of %s it says what there is to say', (_what, tlv, facts) => {
  expect(factsOf(tlv)).toEqual(facts)
})

test('what is said twice counts once, and lists have an end', () => {
  const names = Array.from({ length: 400 }, () => [127, '0080c20300010161'] as const)
  const facts = factsOf([5, hex('first')], [5, hex('second')], ...names)
  expect(facts['switch_system_name']).toBe('first')
  expect(facts['switch_port_vlans']).toHaveLength(128)
})
