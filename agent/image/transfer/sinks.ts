// SPDX-License-Identifier: Apache-2.0
// Owns the sink stack between the sources and the disk: limit → meter → hold-back → write.
// Each is an ExtentSink around the next. Does not know where extents come from.
import { Coverage } from '../../core/coverage.ts'
import { AgentError, isAgentError, messageOf } from '../../core/errors.ts'
import {
  type ByteOrigin,
  type ByteRange,
  type Extent,
  type ExtentSink,
  intersect,
} from '../../core/extent.ts'
import type { BlockDevice } from '../../disk/block-device.ts'
import type { HeldBack } from '../../disk/hold-back.ts'

/** Refuses every byte at or behind `limitBytes`: the image is longer than promised, or than the disk. */
export function limit(next: ExtentSink, limitBytes: number, what: string): ExtentSink {
  return {
    write: async (extent) => {
      const end = extent.offset + extent.data.length
      if (extent.offset < 0 || end > limitBytes) {
        throw new AgentError(
          'InvalidImage',
          `bytes up to ${end} arrived, but ${what} ends at ${limitBytes}; check the image's size`,
        )
      }
      await next.write(extent)
    },
  }
}

export interface MeterOptions {
  /** Marked when bytes are on the disk, never before. */
  readonly coverage: Coverage
  /** Bytes that are on the disk for the first time. */
  readonly onCovered: (bytes: number, from: ByteOrigin) => void
  /** Bytes that were there already are about to be written again: the image changed at its source. */
  readonly onRewrite: (range: ByteRange) => void
}

/** A sink that knows what is on the disk and what is on the way to it. */
export interface MeteredSink extends ExtentSink {
  /** Resolves when no write is under way; a failed source may have left some behind. */
  drain(): Promise<void>
  /** The first failure of the disk, whatever the source made of it. */
  readonly failure: unknown
}

/**
 * Keeps the account of the image. Extents that overlap are written one after the other, in the order
 * they came, so that the last one stays; others go side by side. After a failure nothing more is written.
 */
export function meter(next: ExtentSink, options: MeterOptions): MeteredSink {
  const { coverage, onCovered, onRewrite } = options
  const underWay = new Map<ByteRange, Promise<void>>()
  // on the disk or on the way to it; only its size is asked for, to see overlaps in O(log n)
  const seen = new Coverage(coverage.totalBytes)
  let failure: unknown

  const overlapping = (range: ByteRange) =>
    [...underWay].filter(([other]) => intersect(range, other)).map(([, work]) => work)
  const write = async (range: ByteRange, extent: Extent, before: Promise<void>[]) => {
    if (before.length > 0) {
      await Promise.allSettled(before)
      if (failure !== undefined) throw failure
      onRewrite(range)
    }
    await next.write(extent)
    const coveredBytes = coverage.coveredBytes
    coverage.add(range)
    onCovered(coverage.coveredBytes - coveredBytes, extent.from)
  }
  return {
    write: async (extent) => {
      if (failure !== undefined) throw failure
      const range = { offset: extent.offset, length: extent.data.length }
      const seenBytes = seen.coveredBytes
      seen.add(range)
      const isNew = seen.coveredBytes === seenBytes + range.length
      const before = isNew ? [] : [Promise.resolve(), ...overlapping(range)]
      const work = write(range, extent, before)
        .catch((error: unknown) => {
          failure ??= error
          throw error
        })
        .finally(() => underWay.delete(range))
      underWay.set(range, work)
      await work
    },
    drain: async () => {
      while (underWay.size > 0) await Promise.allSettled(underWay.values())
    },
    get failure() {
      return failure
    },
  }
}

/** Keeps the bytes of the held-back ranges in RAM and lets the others pass. */
export function holdBack(next: ExtentSink, held: HeldBack): ExtentSink {
  return {
    write: async (extent) => {
      for (const part of held.take(extent)) await next.write(part)
    },
  }
}

/** The end of the stack: the disk. Throws ImageWriteError. */
export function writeTo(device: BlockDevice): ExtentSink {
  return {
    write: async ({ offset, data }) => {
      try {
        await device.write(offset, data)
      } catch (error) {
        if (isAgentError(error, 'ImageWriteError')) throw error
        const last = offset + data.length - 1
        throw new AgentError(
          'ImageWriteError',
          `${device.geometry.path} bytes ${offset}–${last}: ${messageOf(error)}`,
          { cause: error },
        )
      }
    },
  }
}
