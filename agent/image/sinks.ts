// SPDX-License-Identifier: Apache-2.0
// Owns the sink stack between the sources and the disk: limit → meter → once → hold-back → write.
// Each is an ExtentSink around the next. Does not know where extents come from.
import { Coverage } from '../core/coverage.ts'
import { AgentError, isAgentError, messageOf } from '../core/errors.ts'
import {
  type ByteOrigin,
  type ByteRange,
  type Extent,
  type ExtentSink,
  endOf,
  intersect,
} from '../core/extent.ts'
import type { BlockDevice } from '../disk/block-device.ts'
import type { HeldBack } from './hold-back.ts'

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

/** Tells `count` of every extent that arrived, whether it is new or not: this is traffic. */
export function meter(
  next: ExtentSink,
  count: (bytes: number, from: ByteOrigin) => void,
): ExtentSink {
  return {
    write: async (extent) => {
      await next.write(extent)
      count(extent.data.length, extent.from)
    },
  }
}

/** A sink that knows what is still under way. */
export interface OnceSink extends ExtentSink {
  /** Resolves when no write is under way; a failed source may have left some behind. */
  drain(): Promise<void>
  /** The first failure of the disk, whatever the source made of it. */
  readonly failure: unknown
}

/**
 * Writes each byte of the image once and marks it in `coverage` when it is there: the first to bring a
 * byte wins. So bytes that were read back already cannot change any more.
 */
export function once(next: ExtentSink, coverage: Coverage): OnceSink {
  const underWay = new Map<ByteRange, Promise<void>>()
  // on the disk or on the way to it; only its size is asked for, to see overlaps in O(log n)
  const seen = new Coverage(coverage.totalBytes)
  let failure: unknown
  const writePart = (part: ByteRange, extent: Extent): Promise<void> => {
    const from = part.offset - extent.offset
    const data = extent.data.subarray(from, from + part.length)
    const work = next
      .write({ offset: part.offset, data, from: extent.from })
      .then(() => coverage.add(part))
      .catch((error: unknown) => {
        failure ??= error
        throw error
      })
      .finally(() => underWay.delete(part))
    underWay.set(part, work)
    return work
  }
  return {
    write: async (extent) => {
      if (failure !== undefined) throw failure
      const range = { offset: extent.offset, length: extent.data.length }
      const seenBytes = seen.coveredBytes
      seen.add(range)
      if (seen.coveredBytes === seenBytes + range.length) return await writePart(range, extent)
      const others = [...underWay].filter(([other]) => intersect(range, other))
      const parts = missingParts(
        range,
        coverage,
        others.map(([other]) => other),
      )
      const works = [...parts.map((part) => writePart(part, extent)), ...others.map(([, w]) => w)]
      await settleAll(works)
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

/** The parts of `range` that are neither on the disk nor in `underWay`. */
function missingParts(range: ByteRange, coverage: Coverage, underWay: ByteRange[]): ByteRange[] {
  const missing = coverage.missing().flatMap((gap) => intersect(gap, range) ?? [])
  return underWay.reduce((parts, other) => parts.flatMap((part) => subtract(part, other)), missing)
}

function subtract(part: ByteRange, other: ByteRange): ByteRange[] {
  const shared = intersect(part, other)
  if (!shared) return [part]
  return [
    { offset: part.offset, length: shared.offset - part.offset },
    { offset: endOf(shared), length: endOf(part) - endOf(shared) },
  ].filter(({ length }) => length > 0)
}

/** All of them end before the first failure is thrown: their bytes belong to the caller again. */
async function settleAll(works: Promise<void>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(works)) {
    if (outcome.status === 'rejected') throw outcome.reason
  }
}
