// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Coverage } from '../../../../agent/core/coverage.ts'
import type { BufferPool, ByteRange } from '../../../../agent/core/extent.ts'
import { createAlignedPool } from '../../../../agent/disk/aligned-pool.ts'
import { createExtentWriter } from '../../../../agent/sources/http/extent-writer.ts'
import { randomBytes } from '../../../support/http-lab.ts'

const SIZE = 10_000

/** A pool that counts what is lent. */
function countingPool(bufferBytes: number, count: number): BufferPool & { lent: () => number } {
  const pool = createAlignedPool({ bufferBytes, count })
  let lent = 0
  return {
    bufferBytes,
    lent: () => lent,
    acquire: async (signal) => {
      const buffer = await pool.acquire(signal)
      lent++
      return {
        bytes: buffer.bytes,
        release: () => {
          lent--
          buffer.release()
        },
      }
    },
  }
}

test('whatever the sizes of reads, buffers and ranges, the wanted bytes and no others arrive in place', async () => {
  const image = randomBytes(SIZE)
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        bufferBytes: fc.integer({ min: 1, max: 4096 }),
        count: fc.integer({ min: 1, max: 4 }),
        reads: fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 20 }),
        held: fc.array(fc.tuple(fc.nat(SIZE - 1), fc.nat(3000)), { maxLength: 5 }),
        start: fc.nat(SIZE - 1),
        obeys: fc.boolean(),
      }),
      async ({ bufferBytes, count, reads, held, start, obeys }) => {
        const coverage = new Coverage(SIZE)
        for (const [offset, length] of held) {
          coverage.add({ offset, length: Math.min(length, SIZE - offset) })
        }
        const wanted = coverage.missing()
        const pool = countingPool(bufferBytes, count)
        const disk = new Uint8Array(SIZE)
        const written = new Coverage(SIZE)
        let drained = Promise.withResolvers<void>()
        const writer = createExtentWriter({
          pool,
          from: 'origin',
          sink: {
            write: async ({ offset, data }) => {
              await new Promise((resolve) => setImmediate(resolve))
              disk.set(data, offset)
            },
          },
          onWritten: (range) => written.add(range),
          onDrain: () => drained.resolve(),
          onFailure: () => {},
        })
        writer.want(wanted)
        const parser = new Uint8Array(3000)
        for (let at = start, i = 0; at < SIZE; i++) {
          const length = Math.min(reads[i % reads.length] as number, SIZE - at)
          // as the parser does: one buffer, overwritten by the next read
          parser.set(image.subarray(at, at + length))
          drained = Promise.withResolvers<void>()
          const goesOn = writer.push(at, parser.subarray(0, length))
          if (!goesOn && obeys) await drained.promise
          at += length
        }
        parser.fill(0)
        await writer.finish()
        const expected = new Uint8Array(SIZE)
        for (const { offset, length } of wanted) {
          const [from, to] = [Math.max(offset, start), offset + length]
          if (to > from) expected.set(image.subarray(from, to), from)
        }
        expect(Buffer.compare(disk, expected)).toBe(0)
        expect(written.coveredBytes).toBe(
          wanted.reduce(
            (sum, { offset, length }) =>
              sum + Math.max(0, offset + length - Math.max(offset, start)),
            0,
          ),
        )
        expect(pool.lent()).toBe(0)
      },
    ),
    { numRuns: 100 },
  )
})

test('the first error of the sink comes out of finish, unchanged, with all buffers given back', async () => {
  const pool = countingPool(1000, 3)
  const broken = new Error('EIO')
  const failures: unknown[] = []
  const written: ByteRange[] = []
  const writer = createExtentWriter({
    pool,
    from: 'origin',
    sink: {
      write: async ({ offset }) => {
        if (offset >= 1000) throw broken
      },
    },
    onWritten: (range) => written.push(range),
    onDrain: () => {},
    onFailure: (error) => failures.push(error),
  })
  writer.want([{ offset: 0, length: SIZE }])
  for (let at = 0; at < SIZE; at += 500) writer.push(at, new Uint8Array(500))
  await expect(writer.finish()).rejects.toBe(broken)
  expect(failures).toEqual([broken])
  expect(written).toEqual([{ offset: 0, length: 1000 }])
  expect(pool.lent()).toBe(0)
})
