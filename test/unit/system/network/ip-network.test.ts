import { describe, expect, test } from 'vitest'
import { isInNetwork, prefixOfNetmask } from '../../../../agent/system/network/ip-network.ts'

describe('a netmask', () => {
  test.each([
    ['255.255.255.0', 4, 24],
    ['255.255.252.0', 4, 22],
    ['255.255.255.255', 4, 32],
    ['0.0.0.0', 4, 0],
    ['24', 4, 24],
    ['ffff:ffff:ffff:ffff::', 6, 64],
    ['ffff:ffff:ffff:fffe::', 6, 63],
    ['ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255', 6, 128],
    ['::', 6, 0],
    ['::0', 6, 0],
    ['64', 6, 64],
  ] as const)('%s has of IPv%i %i bits', (netmask, family, bits) => {
    expect(prefixOfNetmask(netmask, family)).toBe(bits)
  })

  test.each([
    ['255.0.255.0', 4],
    ['255.255.255.1', 4],
    ['33', 4],
    ['-1', 4],
    ['', 4],
    ['undefined', 4],
    ['ffff::', 4],
    ['255.255.255.0', 6],
    ['ffff:0:ffff::', 6],
    ['129', 6],
    ['ffff::%eth0', 6],
  ] as const)('%j is none of IPv%i', (netmask, family) => {
    expect(prefixOfNetmask(netmask, family)).toBeUndefined()
  })
})

test.each([
  ['192.0.2.10', 24, '192.0.2.254', 4, true],
  ['192.0.2.10', 32, '192.0.2.1', 4, false],
  ['192.0.2.10', 0, '203.0.113.1', 4, true],
  ['2001:db8::10', 64, '2001:db8::ffff', 6, true],
  ['2001:db8::10', 64, '2001:db8:1::1', 6, false],
] as const)('the network of %s/%i has %s of IPv%i in it: %s', (ip, prefix, other, family, isIn) => {
  expect(isInNetwork(ip, prefix, other, family)).toBe(isIn)
})
