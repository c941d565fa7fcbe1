import { deflateRawSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { createArrivedBytes } from '../../../../../agent/image/formats/qcow2/arriving/arrived-bytes.ts'
import {
  type ArrivingClusters,
  mapArriving,
  readDiskBeginning,
} from '../../../../../agent/image/formats/qcow2/arriving/map-arriving.ts'
import { unpackArrivingQcow2 } from '../../../../../agent/image/formats/qcow2/arriving/unpack-arriving.ts'
import { unpackQcow2 } from '../../../../../agent/image/formats/qcow2/unpack.ts'
import type { UnpackSink } from '../../../../../agent/image/formats/unpacker.ts'
import {
  arrivingUnpack,
  type ChunkSizes,
  chunksOf,
} from '../../../../support/formats/arriving-qcow2.ts'
import {
  buildQcow2,
  CLUSTER_BYTES,
  compressedEntry,
  DATA_AT,
  type SmallQcow2,
} from '../../../../support/formats/qcow2-builder.ts'
import { unpackInMemory } from '../../../../support/formats/unpacked-memory.ts'

const WINDOW_BYTES = 1024 * 1024
const signal = new AbortController().signal
const deflate = (bytes: Uint8Array) => deflateRawSync(bytes, { windowBits: 12 })
const noise = (seed: number, length = CLUSTER_BYTES) =>
  new Uint8Array(length).map((_, at) => Math.imul(at + seed, 0x9e37_79b1) >>> 21)
const ZSTD = { incompatible: 8, compressionType: 1 }

const readerOf = (file: Uint8Array) => async (range: { offset: number; length: number }) =>
  file.subarray(range.offset, range.offset + range.length)

/** Compressed clusters behind each other, in the order of the file, with their entries. */
function packed(clusters: readonly Uint8Array[], pack = deflate) {
  const parts = clusters.map(pack)
  let at = DATA_AT
  const entries = parts.map((part) => {
    const entry = compressedEntry(
      at,
      Math.floor((at + part.length - 1) / 512) - Math.floor(at / 512),
    )
    at += part.length
    return entry
  })
  return { data: Buffer.concat(parts), entries }
}

/** Eight clusters: compressed, plain, zero, and two that share one. */
function mixed(pack = deflate, fields: SmallQcow2['fields'] = {}): SmallQcow2 {
  const { data, entries } = packed([noise(1), noise(2), noise(3)], pack)
  const plainAt = Math.ceil(data.length / CLUSTER_BYTES) * CLUSTER_BYTES
  const all = new Uint8Array(plainAt + CLUSTER_BYTES)
  all.set(data)
  all.set(noise(4), plainAt)
  const plain = BigInt(DATA_AT + plainAt)
  const [a = 0n, b = 0n, c = 0n] = entries
  return { fields, l2: [b, plain, 0n, a, plain, c, 1n, b], data: all }
}

const cases: Record<string, SmallQcow2> = {
  'zlib and plain clusters, some shared': mixed(),
  'zstd and plain clusters, some shared': mixed(zstdCompressSync, ZSTD),
  'a last plain cluster that the file has a part of': {
    ...mixed(),
    l2: [BigInt(DATA_AT + CLUSTER_BYTES), compressedEntry(DATA_AT, 200)],
    data: Buffer.concat([deflate(noise(5)), new Uint8Array(CLUSTER_BYTES)]).subarray(
      0,
      CLUSTER_BYTES + 999,
    ),
  },
  'sectors that are said to go on after the end of the file': {
    l2: [compressedEntry(DATA_AT + 100, 255)],
    data: Buffer.concat([new Uint8Array(100), deflate(noise(6))]),
  },
  'nothing but zeros': {},
}

async function mapOf(file: Uint8Array): Promise<ArrivingClusters> {
  const clusters = await mapArriving({ read: readerOf(file), fileBytes: file.length, signal })
  if ('why' in clusters) throw new Error(clusters.why)
  return clusters
}

/** The file comes in whole chunks of 64 KiB, but of other bytes, or fewer. */
async function unpackAs(
  clusters: ArrivingClusters,
  file: Uint8Array,
  sink: Partial<UnpackSink> = {},
) {
  return await unpackArrivingQcow2(clusters)({
    chunks: chunksOf({ read: readerOf(file), fileBytes: file.length }, () => CLUSTER_BYTES),
    fileBytes: clusters.fileBytes,
    window: { offset: 0, length: WINDOW_BYTES },
    sink: { write: async () => undefined, zero: async () => undefined, ...sink },
    signal,
  })
}

describe('a qcow2 that is unpacked in the order of its file', () => {
  const sizes: Record<string, ChunkSizes | undefined> = {
    'odd sizes': undefined,
    'small chunks': () => 97,
    'one chunk': () => 8 * WINDOW_BYTES,
  }
  for (const [kind, parts] of Object.entries(cases)) {
    test.each(Object.entries(sizes))(
      `is what it is from a disk: ${kind}, in %s`,
      async (_name, size) => {
        const file = buildQcow2(parts)
        const expected = await unpackInMemory(unpackQcow2, file, WINDOW_BYTES)
        expect(await unpackInMemory(arrivingUnpack(size), file, WINDOW_BYTES)).toEqual(expected)
      },
    )
  }

  test('is refused where it ends before its last cluster does', async () => {
    const file = buildQcow2(mixed())
    const cut = file.subarray(0, file.length - 1)
    await expect(unpackAs(await mapOf(file), cut)).rejects.toMatchObject({
      type: 'InvalidImage',
      details: expect.stringMatching(
        /\d+ of the \d+ bytes of the qcow2 have come, and the cluster of the guest's bytes from \d+ on, at byte \d+, ends after/,
      ),
    })
  })

  test.each([
    ['its header', 24 + 7],
    ['its L1 table', CLUSTER_BYTES + 7],
    ['its L2 table', 2 * CLUSTER_BYTES + 8 * 100],
  ])('is refused where %s is another one than its server told', async (_what, at) => {
    const file = buildQcow2(mixed())
    const clusters = await mapOf(file)
    const other = Uint8Array.from(file)
    other[at] = (other[at] ?? 0) ^ 1
    await expect(unpackAs(clusters, other)).rejects.toMatchObject({
      type: 'InvalidImage',
      details: expect.stringContaining('it serves two files'),
    })
    // nothing of the rest is a table
    expect(await unpackAs(clusters, file)).toBe(8 * CLUSTER_BYTES)
  })

  test('is refused where a cluster does not decode, and names its place', async () => {
    const file = buildQcow2({
      l2: [compressedEntry(DATA_AT, 3)],
      data: new Uint8Array(2048).fill(0xff),
    })
    await expect(unpackAs(await mapOf(file), file)).rejects.toMatchObject({
      type: 'InvalidImage',
      details: expect.stringContaining(`at byte ${DATA_AT} of the qcow2, does not decode as zlib`),
    })
  })

  test('fails with what its sink fails with, of clusters and of zeros', async () => {
    const file = buildQcow2(mixed())
    const clusters = await mapOf(file)
    const lost = new Error('the disk is gone')
    const failing = async () => Promise.reject(lost)
    await expect(unpackAs(clusters, file, { write: failing })).rejects.toBe(lost)
    await expect(unpackAs(clusters, file, { zero: failing })).rejects.toBe(lost)
  })

  test('takes no more memory than its lanes where all clusters are the same bytes, nor forgets one', async () => {
    const data = deflate(noise(7, 512))
    const tables = 32
    const entry =
      (1n << 62n) | (BigInt(Math.ceil(data.length / 512)) << 61n) | BigInt(DATA_AT + tables * 512)
    const l1 = Array.from({ length: tables }, (_, table) => BigInt(DATA_AT + table * 512))
    const table = new BigUint64Array(64).fill(entry)
    const bytes = new Uint8Array(new BigUint64Array(tables * 64).length * 8)
    const view = new DataView(bytes.buffer)
    for (const [at, value] of Array.from({ length: tables }, () => [...table])
      .flat()
      .entries()) {
      view.setBigUint64(8 * at, value)
    }
    const fields = { clusterBits: 9, size: tables * 64 * 512, l1Size: tables }
    const file = buildQcow2({ fields, l1, data: Buffer.concat([bytes, data]) })
    const clusters = await mapOf(file)
    expect(clusters.map.pieceCount).toBe(tables * 64)
    let atOnce = 0
    let mostAtOnce = 0
    let writtenBytes = 0
    await unpackArrivingQcow2(clusters)({
      chunks: chunksOf({ read: readerOf(file), fileBytes: file.length }, () => 4 * WINDOW_BYTES),
      fileBytes: file.length,
      window: { offset: 0, length: fields.size },
      sink: {
        write: async (extent) => {
          atOnce += extent.data.length
          mostAtOnce = Math.max(mostAtOnce, atOnce)
          await new Promise(setImmediate)
          atOnce -= extent.data.length
          writtenBytes += extent.data.length
        },
        zero: async () => undefined,
      },
      signal,
    })
    expect(writtenBytes).toBe(fields.size)
    expect(mostAtOnce).toBeLessThanOrEqual(3 * 2 * WINDOW_BYTES)
  })

  test('has no map where there are more clusters than are remembered', async () => {
    const file = buildQcow2(mixed())
    const request = { read: readerOf(file), fileBytes: file.length, signal }
    expect(await mapArriving(request, 5)).toMatchObject({
      why: 'it has compressed clusters, and more than the 5 that are remembered',
    })
    expect(await mapArriving(request, 6)).toHaveProperty('map')
  })

  test('shows the beginning of its disk, of clusters of any kind', async () => {
    const file = buildQcow2(mixed())
    const disk = await unpackInMemory(unpackQcow2, file, WINDOW_BYTES)
    const clusters = await mapOf(file)
    for (const length of [1, CLUSTER_BYTES, 3 * CLUSTER_BYTES + 5, 2 * disk.length]) {
      const asked: { offset: number; length: number }[] = []
      const beginning = await readDiskBeginning(clusters, {
        read: readerOf(file),
        prepare: async (ranges) => void asked.push(...ranges),
        length,
      })
      expect(beginning).toEqual(disk.subarray(0, length))
      expect(asked.length).toBe(
        Math.min(6, Math.ceil(length / CLUSTER_BYTES) - (length > 2 * CLUSTER_BYTES ? 1 : 0)),
      )
    }
  })
})

describe('the last bytes of a file that comes', () => {
  test('are those that were kept and the chunk', () => {
    const arrived = createArrivedBytes(4)
    arrived.add({ offset: 0, bytes: Uint8Array.of(0, 1, 2, 3) })
    arrived.keepFrom(2)
    arrived.add({ offset: 4, bytes: Uint8Array.of(4, 5) })
    const target = new Uint8Array(3)
    arrived.copy({ offset: 2, length: 3 }, target)
    expect([...target]).toEqual([2, 3, 4])
    arrived.keepFrom(3)
    expect(arrived.end).toBe(6)
    arrived.copy({ offset: 3, length: 3 }, target)
    expect([...target]).toEqual([3, 4, 5])
    expect(() => arrived.copy({ offset: 2, length: 1 }, target)).toThrow(
      'there are those from 3 to 6',
    )
    expect(() => arrived.copy({ offset: 6, length: 1 }, target)).toThrow(RangeError)
  })

  test('have to follow each other, and are not more than fit', () => {
    const arrived = createArrivedBytes(4)
    expect(() => arrived.add({ offset: 1, bytes: Uint8Array.of(1) })).toThrow(
      'those from 0 on follow',
    )
    arrived.add({ offset: 0, bytes: new Uint8Array(5) })
    expect(() => arrived.keepFrom(0)).toThrow('5 bytes of the file to be kept; at most 4')
  })
})
