// SPDX-License-Identifier: Apache-2.0
// Owns the account of the file on its way to the disk: which bytes are there, which are under way, what
// failed. Does not know where they lie on the disk.
import { Coverage } from '../../core/coverage.ts'
import {
  type ByteOrigin,
  type FileExtent,
  type FileRange,
  type FileSink,
  intersect,
  rangeOf,
} from '../../core/extent.ts'

export interface MeterOptions {
  /** Marked when bytes are on the disk, never before. */
  readonly coverage: Coverage
  /** Bytes that are on the disk for the first time. */
  readonly onCovered: (bytes: number, from: ByteOrigin) => void
  /** Bytes that were there already are about to be written again: the image changed at its source. */
  readonly onRewrite: (range: FileRange) => void
  /** Bytes that were there are found to be wrong. */
  readonly onWithdrawn: (bytes: number) => void
}

/** A sink that knows what is on the disk and what is on the way to it. */
export interface MeteredSink extends FileSink {
  /** Resolves when no write is under way; a failed source may have left some behind. */
  drain(): Promise<void>
  /** What is on the disk of this range is wrong, says its source: it is not covered any more. */
  withdraw(range: FileRange): void
  /** The first failure of the disk, whatever the source made of it. */
  readonly failure: unknown
}

/**
 * Keeps the account of the image. Extents that overlap are written one after the other, in the order
 * they came, so that the last one stays; others go side by side. After a failure nothing more is written.
 */
export function meter(next: FileSink, options: MeterOptions): MeteredSink {
  const { coverage, onCovered, onRewrite, onWithdrawn } = options
  const underWay = new Map<FileRange, Promise<void>>()
  // on the disk or on the way to it; only its size is asked for, to see overlaps in O(log n)
  const seen = new Coverage(coverage.totalBytes)
  let failure: unknown

  const overlapping = (range: FileRange) =>
    [...underWay].filter(([other]) => intersect(range, other)).map(([, work]) => work)
  const write = async (range: FileRange, extent: FileExtent, before: Promise<void>[]) => {
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
      const range = rangeOf(extent)
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
    withdraw: (range) => {
      const before = coverage.coveredBytes
      coverage.remove(range)
      // what was seen stays seen: when it is written anew, whoever has read it is told
      onWithdrawn(before - coverage.coveredBytes)
    },
    drain: async () => {
      while (underWay.size > 0) await Promise.allSettled(underWay.values())
    },
    get failure() {
      return failure
    },
  }
}
