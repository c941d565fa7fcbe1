// SPDX-License-Identifier: Apache-2.0
// Owns the sinks between who unpacks and the disk: the beginning of the image is judged, nothing lies outside of
// the window, what boots is held back, zeros that touch each other are made together. Does not unpack.
import { AgentError } from '../../core/errors.ts'
import { type DiskRange, type DiskSink, endOf, intersect, rangeOf } from '../../core/extent.ts'
import { GiB } from '../../core/units.ts'
import type { HeldBack } from '../../disk/hold-back.ts'
import { SNIFFED_BYTES } from '../formats/image-format.ts'
import type { UnpackSink } from '../formats/unpacker.ts'
import type { ZeroWriter } from './zeroes.ts'

export interface UnpackedDisk extends UnpackSink {
  /** Resolves when all that was taken is with the disk. */
  finish(): Promise<void>
}

export interface UnpackSinkOptions {
  readonly window: DiskRange
  readonly held: HeldBack
  /** The way to the disk, by way of the proof's journal. */
  readonly toDisk: DiskSink
  readonly zeroes: ZeroWriter
  /** Hears of each range that was made zero. */
  readonly onZeroed: (range: DiskRange) => Promise<void>
}

/** Asked for at once at most: what goes wrong is heard of, and what was made can be read back meanwhile. */
const MOST_ZEROS_BYTES = GiB

/** Throws InvalidImage for what lies outside of the window, and what the disk throws. */
export function createUnpackSink(options: UnpackSinkOptions): UnpackedDisk {
  const { window, held, toDisk, zeroes, onZeroed } = options
  let pending: DiskRange | undefined

  const makeZero = async (range: DiskRange) => {
    for (const part of outside(range, held.ranges.map(heldRange))) {
      await zeroes(part)
      await onZeroed(part)
    }
  }
  const flush = async () => {
    const range = pending
    pending = undefined
    if (range) await makeZero(range)
  }
  return {
    write: async (extent) => {
      assertInside(rangeOf(extent), window)
      for (const part of held.take(extent)) await toDisk.write(part)
    },
    zero: async (range) => {
      assertInside(range, window)
      // held-back ranges begin as zeros
      if (pending && endOf(pending) === range.offset && pending.length < MOST_ZEROS_BYTES) {
        pending = { offset: pending.offset, length: pending.length + range.length }
        return
      }
      const before = flush()
      pending = range
      await before
    },
    finish: flush,
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
  const beginning = { offset: window.offset, length: Math.min(SNIFFED_BYTES, window.length) }
  const bytes = new Uint8Array(beginning.length)
  const isThere = new Uint8Array(beginning.length)
  let isOpen = true
  const see = (range: DiskRange, data?: Uint8Array) => {
    const shared = isOpen ? intersect(range, beginning) : undefined
    if (!shared) return
    const from = shared.offset - range.offset
    const at = shared.offset - beginning.offset
    if (data) bytes.set(data.subarray(from, from + shared.length), at)
    isThere.fill(1, at, at + shared.length)
    isOpen = isThere.includes(0)
    if (!isOpen) judge(bytes)
  }
  return {
    write: async (extent) => {
      see(rangeOf(extent), extent.data)
      await next.write(extent)
    },
    zero: async (range) => {
      see(range)
      await next.zero(range)
    },
    finish: async () => {
      if (isOpen) judge(bytes)
      await next.finish()
    },
  }
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
