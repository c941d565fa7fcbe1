import { deflateRawSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../../../agent/core/errors.ts'
import { unpackQcow2 } from '../../../../../agent/image/formats/qcow2/unpack.ts'
import {
  buildQcow2,
  CLUSTER_BYTES,
  compressedEntry,
  DATA_AT,
  L2_AT,
  type SmallQcow2,
} from '../../../../support/formats/qcow2-builder.ts'
import { NOWHERE, unpackInMemory } from '../../../../support/formats/unpacked-memory.ts'

const WINDOW_BYTES = 1024 * 1024
const AT = BigInt(DATA_AT)
const NO_DATA = { data: new Uint8Array(0) }
const ones = new Uint8Array(CLUSTER_BYTES).fill(1)
const twos = new Uint8Array(CLUSTER_BYTES).fill(2)
const deflate = (bytes: Uint8Array) => deflateRawSync(bytes, { windowBits: 12 })
const ZSTD = { incompatible: 8, compressionType: 1 }
const EXTENDED = { incompatible: 16 }

const unpack = (image: SmallQcow2) => unpackInMemory(unpackQcow2, buildQcow2(image), WINDOW_BYTES)

/** Each cluster's first byte; the whole cluster must have it. */
async function clustersOf(image: SmallQcow2): Promise<(number | string)[]> {
  const disk = await unpack(image)
  return Array.from({ length: disk.length / CLUSTER_BYTES }, (_, index) => {
    const cluster = disk.subarray(index * CLUSTER_BYTES, (index + 1) * CLUSTER_BYTES)
    const [first = -1] = cluster
    return cluster.every((byte) => byte === first) ? first : 'mixed'
  })
}

const REFUSED: readonly (readonly [string, SmallQcow2, string])[] = [
  [
    'a disk larger than the window',
    { fields: { size: 2 * WINDOW_BYTES } },
    'holds a disk of 2097152 bytes; there is room for 1048576',
  ],
  [
    'an L1 table after the end of the file',
    { fields: { l1TableOffset: 1 << 20 } },
    'L1 table of the qcow2 takes bytes 1048576-1048583 of the file, which has only 196608',
  ],
  [
    'an L1 table where the refcount table is',
    { fields: { refcountTableOffset: CLUSTER_BYTES, refcountTableClusters: 1 } },
    'refcount table of the qcow2 takes bytes 65536-131071 of the file, but the cluster at byte 65536 already',
  ],
  [
    'an L2 table between clusters',
    { l1: [512n] },
    'begins at byte 512 of the qcow2, which is no multiple',
  ],
  [
    'an L2 table after the end of the file',
    { l1: [1n << 55n] },
    'takes bytes 36028797018963970-36028797019029500 of the file',
  ],
  [
    'an L2 table that the file has a part of',
    { fileBytes: L2_AT + 512 },
    'which has only 131584 bytes',
  ],
  [
    'an L2 table where the L1 table is',
    { l1: [BigInt(CLUSTER_BYTES)] },
    'the cluster at byte 65536 already',
  ],
  [
    'an L2 table that is used twice',
    {
      fields: { clusterBits: 9, size: 65_536, l1Size: 2 },
      l1: [BigInt(L2_AT), BigInt(L2_AT)],
    },
    "L2 table (of the guest's bytes from 32768 on) of the qcow2 takes bytes 131072-131583",
  ],
  [
    'a cluster between clusters',
    { l2: [0n, AT + 512n], data: ones },
    'from 65536 on lies at byte 197120 of the file',
  ],
  [
    'a cluster after the end of the file',
    { l2: [AT], ...NO_DATA },
    'lies at byte 196608 of the file, which has only 196608',
  ],
  ['a cluster far after the end', { l2: [0x00ff_ffff_ffff_0000n] }, 'which has only 196608'],
  ['a cluster in its own table', { l2: [BigInt(L2_AT)] }, 'where the header or a table is'],
  [
    'the zero flag in version 2',
    { fields: { version: 2 }, l2: [1n] },
    'the zero flag, which version 2 does not know',
  ],
  [
    'a compressed cluster in the header',
    { l2: [compressedEntry(40, 1)] },
    'where the header or a table is',
  ],
  [
    'a compressed cluster after the end of the file',
    { l2: [compressedEntry(DATA_AT, 3)] },
    'which has only',
  ],
  [
    'a compressed cluster that is none',
    { l2: [compressedEntry(DATA_AT, 0)], data: ones },
    'does not decode as zlib',
  ],
  [
    'a compressed cluster whose end is missing',
    { l2: [compressedEntry(DATA_AT, 8)], data: deflate(ones).subarray(0, 30) },
    'does not decode as zlib to 65536 bytes: unexpected end of file',
  ],
  [
    'a compressed cluster that decodes to less',
    { l2: [compressedEntry(DATA_AT, 8)], data: deflate(ones.subarray(1)) },
    'at byte 196608 of the qcow2, decodes to 65535 bytes; a cluster has 65536',
  ],
  [
    'a compressed cluster that decodes to more',
    { l2: [compressedEntry(DATA_AT, 8)], data: deflate(new Uint8Array(CLUSTER_BYTES + 1)) },
    'does not decode as zlib to 65536 bytes',
  ],
  [
    'a bomb',
    { l2: [compressedEntry(DATA_AT, 250)], data: deflate(new Uint8Array(100 * WINDOW_BYTES)) },
    'does not decode as zlib to 65536 bytes',
  ],
  [
    'a bomb of zstd',
    {
      fields: ZSTD,
      l2: [compressedEntry(DATA_AT, 250)],
      data: zstdCompressSync(new Uint8Array(100 * WINDOW_BYTES)),
    },
    'does not decode as zstd to 65536 bytes',
  ],
  [
    'a cluster of two frames',
    {
      fields: ZSTD,
      l2: [compressedEntry(DATA_AT, 8)],
      data: Buffer.concat([
        zstdCompressSync(ones.subarray(100)),
        zstdCompressSync(ones.subarray(0, 100)),
      ]),
    },
    'decodes to 65436 bytes; a cluster has 65536',
  ],
  [
    'a subcluster that is both zero and data',
    { fields: EXTENDED, l2: [AT, (1n << 32n) | 1n], data: ones },
    'a subcluster that is both zero and data',
  ],
  [
    'a subcluster after the end of the file',
    { fields: EXTENDED, l2: [AT, 1n << 31n], data: ones.subarray(0, 63_488) },
    'from 0 on lies at byte 260096 of the file, which has only 260096 bytes',
  ],
  [
    'subclusters with data and no place',
    { fields: EXTENDED, l2: [0n, 1n], data: ones },
    'has subclusters with data, and no place for them',
  ],
]

const nextTurn = () => new Promise((resolve) => setImmediate(resolve))

describe('unpacking a qcow2', () => {
  test.each(REFUSED)('refuses %s, with the offsets', async (_what, image, message) => {
    const error = await unpack(image).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(AgentError)
    expect((error as AgentError).type).toBe('InvalidImage')
    expect((error as AgentError).message).toContain(message)
  })

  test('refuses a bad entry of the last table before a byte is written', async () => {
    const file = buildQcow2({ l2: [AT, AT, AT, AT, AT, AT, AT, AT + 512n], data: ones })
    const touched: string[] = []
    const unpacking = unpackQcow2({
      read: async ({ offset, length }) => file.slice(offset, offset + length),
      keptAt: NOWHERE,
      virtualBytes: null,
      fileBytes: file.length,
      window: { offset: 0, length: WINDOW_BYTES },
      sink: {
        write: async () => void touched.push('write'),
        zero: async () => void touched.push('zero'),
      },
      signal: new AbortController().signal,
    })
    await expect(unpacking).rejects.toThrow('is no multiple of the cluster size')
    expect(touched).toEqual([])
  })

  test('makes zeros of what is not there, of zero clusters, and of the part of a cluster after the end of the file', async () => {
    const found = await clustersOf({
      l2: [0n, 1n, AT | 1n, AT, 0n, AT + 65_536n],
      data: Buffer.concat([ones, twos]),
    })
    expect(found).toEqual([0, 0, 0, 1, 0, 2, 0, 0])
    // the memory that takes the last cluster has held another before
    const l2 = [AT, 0n, AT, 0n, AT, 0n, AT + 65_536n]
    const data = Buffer.concat([ones, twos])
    const cut = await unpack({ l2, data, fileBytes: DATA_AT + CLUSTER_BYTES + 1000 })
    const last = cut.subarray(6 * CLUSTER_BYTES)
    expect(last.subarray(0, 1000).every((byte) => byte === 2)).toBe(true)
    expect(last.subarray(1000).every((byte) => byte === 0)).toBe(true)
  })

  test('reads a cluster that two places share, compressed or not, as QEMU does', async () => {
    expect(await clustersOf({ l2: [AT, 0n, AT, AT], data: ones })).toEqual([1, 0, 1, 1, 0, 0, 0, 0])
    const entry = compressedEntry(DATA_AT, 1)
    const found = await clustersOf({ l2: [entry, entry], data: deflate(twos) })
    expect(found).toEqual([2, 2, 0, 0, 0, 0, 0, 0])
  })

  test.each([
    ['zlib', {}, deflate],
    ['zstd', ZSTD, zstdCompressSync],
  ])(
    'decodes %s where it begins within a sector, in any order, with other bytes or the file’s end behind it',
    async (_name, fields, compress) => {
      const [first, second] = [compress(ones), compress(twos)]
      const data = Buffer.concat([Buffer.alloc(77), first, second])
      // more sectors than there are, as many as the field has room for
      const l2 = [
        compressedEntry(DATA_AT + 77 + first.length, 255),
        compressedEntry(DATA_AT + 77, 0),
      ]
      expect(await clustersOf({ fields, l2, data })).toEqual([2, 1, 0, 0, 0, 0, 0, 0])
    },
  )

  test('reads data that crosses from one cluster of the file to the next', async () => {
    const packed = deflate(ones)
    const before = CLUSTER_BYTES - 20
    const data = Buffer.concat([Buffer.alloc(before), packed])
    const l2 = [compressedEntry(DATA_AT + before, 1)]
    expect((await clustersOf({ l2, data }))[0]).toBe(1)
  })

  test('follows the subclusters of extended L2', async () => {
    const data = Buffer.alloc(CLUSTER_BYTES, 7)
    // the second and the last have data, the first is zero, the others are not there
    const bitmap = (1n << 32n) | 2n | (1n << 31n)
    const disk = await unpack({ fields: EXTENDED, l2: [AT, bitmap, 0n, 0xffff_ffffn << 32n], data })
    const size = CLUSTER_BYTES / 32
    const found = Array.from({ length: 33 }, (_, index) => disk[index * size])
    expect(found).toEqual(found.map((_, index) => (index === 1 || index === 31 ? 7 : 0)))
  })

  test('stops at a signal', async () => {
    const signal = AbortSignal.abort(new Error('enough'))
    const file = buildQcow2({ l2: [AT], data: ones })
    await expect(unpackInMemory(unpackQcow2, file, WINDOW_BYTES, signal)).rejects.toThrow('enough')
  })

  test('fails with what the disk fails with, after nothing uses its memory any more', async () => {
    const file = buildQcow2({ l2: [AT, 0n, AT, 0n, AT], data: ones })
    let writes = 0
    let underWay = 0
    const unpacking = unpackQcow2({
      read: async ({ offset, length }) => file.slice(offset, offset + length),
      keptAt: NOWHERE,
      virtualBytes: null,
      fileBytes: file.length,
      window: { offset: 0, length: WINDOW_BYTES },
      sink: {
        write: async () => {
          const isFirst = writes++ === 0
          underWay++
          for (let turn = 0; turn < (isFirst ? 1 : 20); turn++) await nextTurn()
          underWay--
          if (isFirst) throw new Error('no medium')
        },
        zero: async () => {},
      },
      signal: new AbortController().signal,
    })
    await expect(unpacking).rejects.toThrow('no medium')
    expect(underWay).toBe(0)
  })
})
