// SPDX-License-Identifier: Apache-2.0
// Owns the sinks between who unpacks and the disk: the beginning of the image is judged, nothing lies outside of
// the window, what boots is held back, zeros that touch each other are made together. Does not unpack.
import { AgentError } from '../../core/errors.ts'
import { type DiskRange, type DiskSink, endOf, intersect, rangeOf } from '../../core/extent.ts'
import { MiB } from '../../core/units.ts'
import type { HeldBack } from '../../disk/hold-back.ts'
import type { UnpackSink } from '../formats/unpacker.ts'
import { watchBeginning } from './beginning.ts'
import type { MadeZero, ZeroWriter } from './zeroes.ts'

export interface UnpackedDisk extends UnpackSink {
  /**
   * Resolves when all that was taken is with the disk or held back. Throws ImageWriteError unless that is as much as was
   * to come: a cluster that nobody wrote would be what the disk had there before.
   */
  finish(expectedBytes: number): Promise<void>
}

export interface UnpackSinkOptions {
  readonly window: DiskRange
  readonly held: HeldBack
  /** The way to the disk, by way of the proof's journal. */
  readonly toDisk: DiskSink
  readonly zeroes: ZeroWriter
  /** Hears of each range that was made zero. */
  readonly onZeroed: (range: MadeZero) => Promise<void>
}

/** Asked for at once at most: what goes wrong is heard of, and what was made can be read back meanwhile. */
const MOST_ZEROS_BYTES = 256 * MiB

/** Throws InvalidImage for what lies outside of the window, and what the disk throws. */
export function createUnpackSink(options: UnpackSinkOptions): UnpackedDisk {
  const { window, held, toDisk, zeroes, onZeroed } = options
  let pending: DiskRange | undefined
  const done = { writtenBytes: 0, zeroedBytes: 0, heldBytes: 0 }

  const makeZero = async (range: DiskRange) => {
    const parts = outside(range, held.ranges.map(heldRange))
    for (const part of parts.flatMap(stepsOf)) {
      for (const made of await zeroes(part)) await onZeroed(made)
      done.zeroedBytes += part.length
    }
    done.heldBytes += range.length - lengthOf(parts)
  }
  const flush = async () => {
    const range = pending
    pending = undefined
    if (range) await makeZero(range)
  }
  return {
    write: async (extent) => {
      assertInside(rangeOf(extent), window)
      const parts = held.take(extent).map((part) => ({ ...part, length: part.data.length }))
      for (const part of parts) {
        await toDisk.write(part)
        done.writtenBytes += part.length
      }
      done.heldBytes += extent.data.length - lengthOf(parts)
    },
    zero: async (range) => {
      assertInside(range, window)
      // held-back ranges begin as zeros
      if (pending && endOf(pending) === range.offset) {
        pending = { offset: pending.offset, length: pending.length + range.length }
      } else {
        const before = flush()
        pending = range
        await before
      }
      // what is made while other bytes come in can be read back meanwhile
      if (pending && pending.length >= MOST_ZEROS_BYTES) await flush()
    },
    finish: async (expectedBytes) => {
      await flush()
      const { writtenBytes, zeroedBytes, heldBytes } = done
      if (writtenBytes + zeroedBytes + heldBytes === expectedBytes) return
      throw new AgentError(
        'ImageWriteError',
        `of ${expectedBytes} bytes of the image ${writtenBytes} were written, ${zeroedBytes} made zero, ${heldBytes} held ` +
          'back: that is not all of it, or some twice. This is a defect of the agent; serve the image raw meanwhile',
      )
    },
  }
}

/**
 * Looks at the beginning of the unpacked image as soon as it is there (contract 5.3.6); what of it never comes is
 * zero. Throws what `judge` throws.
 */
export function judgeBeginning(
  next: UnpackedDisk,
  window: DiskRange,
  judge: (firstBytes: Uint8Array) => void,
): UnpackedDisk {
  const beginning = watchBeginning(window.length, judge)
  return {
    write: async (extent) => {
      beginning.see(extent.offset - window.offset, extent.data.length, extent.data)
      await next.write(extent)
    },
    zero: async (range) => {
      beginning.see(range.offset - window.offset, range.length)
      await next.zero(range)
    },
    finish: async (expectedBytes) => {
      beginning.end()
      await next.finish(expectedBytes)
    },
  }
}

function stepsOf({ offset, length }: DiskRange): DiskRange[] {
  return Array.from({ length: Math.ceil(length / MOST_ZEROS_BYTES) }, (_, step) => {
    const at = step * MOST_ZEROS_BYTES
    return { offset: offset + at, length: Math.min(MOST_ZEROS_BYTES, length - at) }
  })
}

function lengthOf(parts: readonly { readonly length: number }[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0)
}

function heldRange({ offset, bytes }: HeldBack['ranges'][number]): DiskRange {
  return { offset, length: bytes.length }
}

/** What of the range lies in none of `others`, which are disjoint and ascending. */
function outside(range: DiskRange, others: readonly DiskRange[]): DiskRange[] {
  const parts: DiskRange[] = []
  let at = range.offset
  const add = (upTo: number) => {
    if (upTo > at) parts.push({ offset: at, length: upTo - at })
  }
  for (const other of others) {
    const shared = intersect(range, other)
    if (!shared) continue
    add(shared.offset)
    at = endOf(shared)
  }
  add(endOf(range))
  return parts
}

function assertInside(range: DiskRange, window: DiskRange): void {
  if (range.offset >= window.offset && endOf(range) <= endOf(window)) return
  throw new AgentError(
    'InvalidImage',
    `the image reaches to byte ${endOf(range)} of the disk; there is room up to ${endOf(window)}`,
  )
}
