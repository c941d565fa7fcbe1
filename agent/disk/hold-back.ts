// SPDX-License-Identifier: Apache-2.0
// Owns the bytes that must not be on the disk before the image is verified, and the original bytes of
// those ranges afterwards. Memory: the sum of the ranges, about 1 MiB. Does not write to the disk.
import { type DiskExtent, type DiskRange, endOf, intersect } from '../core/extent.ts'

/** One held-back range and its bytes. */
export interface HeldRange {
  readonly offset: number
  readonly bytes: Uint8Array
}

export interface HeldBack {
  readonly ranges: readonly HeldRange[]
  /** Keeps what of the extent is to be held back; gives the parts that are not, in order. */
  take(extent: DiskExtent): DiskExtent[]
  /** Overwrites in `target`, which holds image bytes from `offset` on, those that are held back. */
  overlay(offset: number, target: Uint8Array): void
  /** True if the whole range is held back. */
  holds(range: DiskRange): boolean
}

/** @param ranges disjoint, ascending */
export function createHeldBack(ranges: readonly DiskRange[]): HeldBack {
  const held: HeldRange[] = ranges.map(({ offset, length }) => ({
    offset,
    bytes: new Uint8Array(length),
  }))
  return {
    ranges: held,
    take: (extent) => {
      const passing: DiskExtent[] = []
      let at = extent.offset
      const pass = (upTo: number) => {
        if (upTo > at) passing.push(cut(extent, { offset: at, length: upTo - at }))
      }
      for (const range of held) {
        const shared = intersect(
          rangeOf(extent.offset, extent.data),
          rangeOf(range.offset, range.bytes),
        )
        if (!shared) continue
        range.bytes.set(cut(extent, shared).data, shared.offset - range.offset)
        pass(shared.offset)
        at = endOf(shared)
      }
      pass(extent.offset + extent.data.length)
      return passing
    },
    overlay: (offset, target) => overlay(held, offset, target),
    holds: (range) =>
      held.some(({ offset, bytes }) => {
        return offset <= range.offset && endOf(range) <= offset + bytes.length
      }),
  }
}

/** Puts the held-back bytes over `target`, which holds the disk's bytes from `offset` on. */
export function overlay(held: readonly HeldRange[], offset: number, target: Uint8Array): void {
  for (const range of held) {
    const shared = intersect(rangeOf(offset, target), rangeOf(range.offset, range.bytes))
    if (!shared) continue
    const from = shared.offset - range.offset
    target.set(range.bytes.subarray(from, from + shared.length), shared.offset - offset)
  }
}

function rangeOf(offset: number, bytes: Uint8Array): DiskRange {
  return { offset, length: bytes.length }
}

function cut(extent: DiskExtent, { offset, length }: DiskRange): DiskExtent {
  if (length === extent.data.length) return extent
  const start = offset - extent.offset
  // without its SHA-1, which is of the whole
  return { offset, data: extent.data.subarray(start, start + length), from: extent.from }
}
