import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatQuery, parseResponse } from '../../../../agent/system/multicast/dns-message.ts'

const NAME = 'baremetal._openstack._tcp.local'

/** A message of records that are given as bytes. */
function responseOf(count: number, body: readonly number[], flags = 0x84): Buffer {
  return Buffer.from([0x12, 0x34, flags, 0, 0, 0, 0, count, 0, 0, 0, 0, ...body])
}
const label = (text: string) => [text.length, ...Buffer.from(text)]
const name = (text: string) => [...text.split('.').flatMap(label), 0]
const record = (owner: readonly number[], type: number, data: readonly number[], kind = 0x8001) => [
  ...owner,
  ...[type >> 8, type & 0xff, kind >> 8, kind & 0xff, 0, 0, 0, 120],
  ...[data.length >> 8, data.length & 0xff, ...data],
]
const SRV = record(name(NAME), 33, [0, 0, 0, 0, 0x18, 0xf1, ...name('ironic.local')])
/** The name of the first record, by a pointer to it. */
const POINTER = [0xc0, 12]

describe('a query', () => {
  test('asks for each name and type, for an answer to who asks alone', () => {
    const query = formatQuery(0x1234, [{ name: NAME, type: 'SRV' }])
    expect([...query]).toEqual([
      ...[0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
      ...[...name(NAME), 0, 33, 0x80, 1],
    ])
  })

  test('is not made of a label that DNS has no room for', () => {
    expect(() => formatQuery(1, [{ name: `${'x'.repeat(64)}.local`, type: 'A' }])).toThrow(
      RangeError,
    )
  })
})

describe('a response', () => {
  test('says where a service is, with names by pointers', () => {
    const text = record(POINTER, 16, [...label('protocol=http'), ...label('flag')])
    const a = record(name('Ironic.local'), 1, [192, 0, 2, 7])
    const aaaa = record(name('ironic.local'), 28, [0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), 7])
    const nsec = record(POINTER, 47, [1, 2, 3])
    const foreign = record(POINTER, 1, [1, 2, 3, 4], 3)
    const body = [...SRV, ...text, ...a, ...aaaa, ...nsec, ...foreign]
    expect(parseResponse(responseOf(6, body))).toEqual({
      id: 0x1234,
      records: [
        { name: NAME, type: 'SRV', target: 'ironic.local', port: 6385 },
        {
          name: NAME,
          type: 'TXT',
          strings: [
            Uint8Array.from(Buffer.from('protocol=http')),
            Uint8Array.from(Buffer.from('flag')),
          ],
        },
        { name: 'Ironic.local', type: 'A', address: '192.0.2.7' },
        { name: 'ironic.local', type: 'AAAA', address: '2001:db8::7' },
      ],
    })
  })

  test.each([
    ['a query', responseOf(0, [], 0)],
    ['nothing', Buffer.alloc(0)],
    ['a record that is cut off', responseOf(1, SRV.slice(0, -3))],
    ['more records than there are', responseOf(2, SRV)],
    ['a name that points to itself', responseOf(1, record([0xc0, 12], 1, [1, 2, 3, 4]))],
    ['a name that points forward', responseOf(1, record([0xc0, 14], 1, [1, 2, 3, 4]))],
    [
      'a name without an end',
      responseOf(
        1,
        record(
          [
            ...Array(5)
              .fill(label('x'.repeat(63)))
              .flat(),
            0,
          ],
          1,
          [1, 2, 3, 4],
        ),
      ),
    ],
    ['a text that is longer than its record', responseOf(1, record(name(NAME), 16, [9, 65]))],
    ['too many records', responseOf(0, []).fill(0xff, 6, 8)],
  ])('is none that is %s', (_what, datagram) => {
    expect(parseResponse(datagram)).toBeUndefined()
  })

  test('of any bytes, and of any damage to a good one, is read or refused, and nothing else', () => {
    const good = responseOf(2, [...SRV, ...record(POINTER, 16, label('a=b'))])
    fc.assert(fc.property(fc.uint8Array({ maxLength: 1500 }), (bytes) => void parseResponse(bytes)))
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 8 }),
        fc.nat(good.length),
        (damage, length) => {
          const bytes = Buffer.from(good)
          for (const [at, byte] of damage) bytes[at] = byte
          parseResponse(bytes.subarray(0, length))
        },
      ),
      { numRuns: 2000 },
    )
  })
})
