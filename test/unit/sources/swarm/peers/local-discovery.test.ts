import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatLsd, parseLsd } from '../../../../../agent/sources/swarm/peers/lsd-message.ts'
import {
  createInterfaceLook,
  isFar,
  isNeighbour,
} from '../../../../../agent/sources/swarm/peers/neighbours.ts'

const HASH = 'a'.repeat(40)
const HOST = '239.192.152.143:6771'
const bytes = (text: string) => Buffer.from(text)

test('an announcement comes back as it was', () => {
  const message = { port: 51413, infoHashes: [HASH, 'b'.repeat(40)], cookie: 'c00c1e' }
  expect(parseLsd(bytes(formatLsd(HOST, message)))).toEqual(message)
  const bare = { port: 1, infoHashes: [HASH], cookie: undefined }
  expect(parseLsd(bytes(formatLsd(HOST, bare)))).toEqual(bare)
})

test('libtorrent and others spell the header names as they like', () => {
  const text = `BT-SEARCH * HTTP/1.1\r\nHost: ${HOST}\r\nPort: 6881\r\nInfohash: ${HASH.toUpperCase()}\r\ncookie: 5f\r\nX-New: 1\r\n\r\n\r\n`
  const expected = { port: 6881, infoHashes: [HASH], cookie: '5f' }
  expect(parseLsd(bytes(text))).toEqual(expected)
  expect(parseLsd(bytes(text.replace('Infohash', 'INFOHASH').replace('Port', 'port')))).toEqual(
    expected,
  )
})

const good = formatLsd(HOST, { port: 6881, infoHashes: [HASH], cookie: undefined })
test.each([
  ['another method', good.replace('BT-SEARCH', 'M-SEARCH')],
  ['port 0', good.replace('6881', '0')],
  ['a port above 65535', good.replace('6881', '65536')],
  ['no port', good.replace(/Port: 6881\r\n/, '')],
  ['no info-hash', good.replace(/Infohash: a+\r\n/, '')],
  ['a short info-hash', good.replace(HASH, 'abc')],
  ['more than a datagram should have', good + ' '.repeat(1400)],
  ['nothing', ''],
])('a datagram with %s is ignored', (_name, text) => {
  expect(parseLsd(bytes(text))).toBeUndefined()
})

test('no datagram makes it throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1500 }), (datagram) => {
      parseLsd(datagram)
      parseLsd(Buffer.concat([bytes(good), datagram]))
    }),
  )
})

const interfaces = {
  eth0: [
    { family: 'IPv4', address: '10.1.2.3', cidr: '10.1.2.3/22' },
    { family: 'IPv6', address: 'fd00::3', cidr: 'fd00::3/64' },
  ],
  ib0: [{ family: 'IPv4', address: '10.9.0.1', cidr: '10.9.0.1/32' }],
} as never

test.each([
  ['10.1.3.200', true],
  ['::ffff:10.1.0.9', true],
  ['10.1.4.1', false],
  ['10.9.0.2', false],
  ['fd00::99', true],
  ['fd00::99%eth0', true],
  ['fd01::99', false],
  ['nonsense', false],
  ['', false],
])('%s is on a subnet of ours: %s', (address, expected) => {
  expect(isNeighbour(address, interfaces)).toBe(expected)
})

test.each([
  ['the same name, another subnet', 'r1', bytes('r1'), false, false],
  ['another name, the same subnet', 'r1', bytes('r2'), true, true],
  ['they say nothing', 'r1', undefined, true, false],
  ['we have no name', null, bytes('r2'), true, false],
  ['a name longer than any', 'r1', new Uint8Array(1025), true, false],
  ['no bytes at all', 'r1', 5, false, true],
])('a peer is far or not: %s', (_name, ours, theirs, isOnSubnet, expected) => {
  expect(isFar(ours, theirs, isOnSubnet)).toBe(expected)
})

test('the interfaces are looked at once for all peers that are named within seconds', () => {
  let now = 0
  let looks = 0
  const interfaces = createInterfaceLook(
    () => {
      looks += 1
      return {}
    },
    () => now,
  )
  for (let peer = 0; peer < 200; peer++) interfaces()
  expect(looks).toBe(1)
  now = 5000
  interfaces()
  expect(looks).toBe(2)
})
