import { expect, test } from 'vitest'
import {
  hostOf,
  plainAddress,
  plainHost,
  shownAddress,
} from '../../../../../agent/sources/swarm/peers/address.ts'

test.each([
  ['a tracker, IPv4', '10.0.0.1:6881', '10.0.0.1', '10.0.0.1:6881'],
  ['a socket of both families, IPv4', '::ffff:10.0.0.1:6881', '10.0.0.1', '10.0.0.1:6881'],
  ['the same in brackets', '[::ffff:10.0.0.1]:6881', '10.0.0.1', '10.0.0.1:6881'],
  ['the same in capitals', '::FFFF:10.0.0.1:6881', '10.0.0.1', '10.0.0.1:6881'],
  ['a tracker, IPv6', '[fd78::1]:6881', 'fd78::1', 'fd78::1:6881'],
  ['a socket, IPv6', 'fd78::1:6881', 'fd78::1', 'fd78::1:6881'],
])('an address as written by %s has one form', (_name, address, host, plain) => {
  expect(hostOf(address)).toBe(host)
  expect(plainAddress(address)).toBe(plain)
})

test.each([
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['10.0.0.1', '10.0.0.1'],
  ['fd78::1', 'fd78::1'],
  // not a mapped address, though it begins like one
  ['::ffff:0:1', '::ffff:0:1'],
  ['nonsense', 'nonsense'],
  ['', ''],
])('the host %o is plainly %o', (host, plain) => {
  expect(plainHost(host)).toBe(plain)
})

test.each([
  ['::ffff:127.0.0.1:38146', '127.0.0.1:38146'],
  ['10.0.0.1:6881', '10.0.0.1:6881'],
  ['fd78::1:6881', '[fd78::1]:6881'],
  ['[fd78::1]:6881', '[fd78::1]:6881'],
])('%s is shown as %s', (address, shown) => expect(shownAddress(address)).toBe(shown))
