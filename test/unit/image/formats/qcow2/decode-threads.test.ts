import { deflateRawSync, zstdCompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import type { DecodeOrder } from '../../../../../agent/image/formats/qcow2/decode/cluster-decoder.ts'
import { createDecodeThreads } from '../../../../../agent/image/formats/qcow2/decode/decode-threads.ts'

const CLUSTER_BYTES = 4096
const PACKERS = {
  zlib: (bytes: Uint8Array) => deflateRawSync(bytes, { windowBits: 12 }),
  zstd: (bytes: Uint8Array) => zstdCompressSync(bytes),
} as const
type Compression = keyof typeof PACKERS

const clusterOf = (seed: number) =>
  new Uint8Array(CLUSTER_BYTES).map((_, at) => Math.imul(at + seed, 0x9e37_79b1) >>> 27)

/** An order of `count` clusters behind each other, the first of them this one; the last is wanted in part. */
function orderOf(compression: Compression, first: number, count: number) {
  const parts = Array.from({ length: count }, (_, i) => PACKERS[compression](clusterOf(first + i)))
  const input = new Uint8Array(new SharedArrayBuffer(parts.reduce((sum, p) => sum + p.length, 0)))
  let from = 0
  const clusters = parts.map((part, i) => {
    input.set(part, from)
    const cluster = { from, bytes: part.length, to: i * CLUSTER_BYTES, length: CLUSTER_BYTES }
    from += part.length
    return cluster
  })
  const last = clusters.at(-1)
  if (last) last.length = 100
  const output = new Uint8Array(new SharedArrayBuffer((count - 1) * CLUSTER_BYTES + 100))
  return { input, output, clusters }
}

function isRight(first: number, { output, clusters }: DecodeOrder): boolean {
  const parts = clusters.map(({ length }, i) => clusterOf(first + i).subarray(0, length))
  return Buffer.compare(Buffer.concat(parts), output) === 0
}

/** The first orders of each kind are decoded by the caller's thread, by others from the first on. */
const WAYS = [
  ['here', 1024 * CLUSTER_BYTES],
  ['in threads', 0],
] as const

for (const [where, aloneBytes] of WAYS) {
  for (const compression of ['zlib', 'zstd'] as const) {
    test(`clusters of ${compression} are decoded ${where}, many orders at once`, async () => {
      await using threads = createDecodeThreads({
        compression,
        clusterBytes: CLUSTER_BYTES,
        aloneBytes,
      })
      const orders = Array.from({ length: 12 }, (_, i) => orderOf(compression, i * 10, 1 + (i % 4)))
      const answers = await Promise.all(orders.map((order) => threads.decode(order)))
      expect(answers).toEqual(orders.map(() => null))
      expect(orders.map((order, i) => isRight(i * 10, order))).toEqual(orders.map(() => true))
    })
  }

  test(`the cluster that is broken is named where it is decoded ${where}, and the next order is not`, async () => {
    await using threads = createDecodeThreads({
      compression: 'zstd',
      clusterBytes: CLUSTER_BYTES,
      aloneBytes,
    })
    const broken = orderOf('zstd', 0, 4)
    broken.input.fill(0, broken.clusters[2]?.from, broken.clusters[3]?.from)
    const right = orderOf('zstd', 0, 4)
    const answers = await Promise.all([threads.decode(broken), threads.decode(right)])
    expect(answers).toEqual([
      { index: 2, why: expect.stringContaining('does not decode as zstd to 4096 bytes: ') },
      null,
    ])
  })
}

test('threads that were ended take no order any more, and answer none', async () => {
  const threads = createDecodeThreads({
    compression: 'zlib',
    clusterBytes: CLUSTER_BYTES,
    aloneBytes: 0,
  })
  const order = orderOf('zlib', 0, 2)
  const waiting = threads.decode(order).catch((error: unknown) => error)
  await threads[Symbol.asyncDispose]()
  const late = await threads.decode(order).catch((error: unknown) => error)
  expect(late).toMatchObject({ type: 'ImageWriteError' })
  // it was answered before, or has the same end
  expect([null, late]).toContainEqual(await waiting)
})
