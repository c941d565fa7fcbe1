// SPDX-License-Identifier: Apache-2.0
// Owns the account of which bytes of the file are on the disk, so that a second source fetches only the
// missing ones. Does not know who wrote them, nor where on the disk they lie.
import { endOf, type FileRange } from './extent.ts'

/** A set of file offsets below `totalBytes`, kept as sorted, disjoint, non-touching ranges. */
export class Coverage {
  readonly totalBytes: number
  #starts: number[] = []
  #ends: number[] = []
  #coveredBytes = 0

  constructor(totalBytes: number) {
    this.totalBytes = totalBytes
  }

  /** Bytes in the set. */
  get coveredBytes(): number {
    return this.#coveredBytes
  }

  get isComplete(): boolean {
    return this.#coveredBytes === this.totalBytes
  }

  /** Adds a range; bytes that are in already count once. Throws RangeError outside of the image. */
  add(range: FileRange): void {
    this.#check(range)
    if (range.length === 0) return
    let { offset } = range
    let end = endOf(range)
    // every run that overlaps or touches [offset, end) is merged into it
    const first = this.#firstEndingAtOrAfter(offset)
    let last = first
    let absorbed = 0
    while (last < this.#starts.length && (this.#starts[last] as number) <= end) {
      const start = this.#starts[last] as number
      const stop = this.#ends[last] as number
      offset = Math.min(offset, start)
      end = Math.max(end, stop)
      absorbed += stop - start
      last++
    }
    this.#starts.splice(first, last - first, offset)
    this.#ends.splice(first, last - first, end)
    this.#coveredBytes += end - offset - absorbed
  }

  /** Takes a range out; bytes that are not in change nothing. Throws RangeError outside of the image. */
  remove(range: FileRange): void {
    this.#check(range)
    if (range.length === 0) return
    const { offset } = range
    const end = endOf(range)
    // every run that shares a byte with [offset, end) gives way to what is left of it
    const first = this.#firstEndingAtOrAfter(offset + 1)
    const starts: number[] = []
    const ends: number[] = []
    let last = first
    let removed = 0
    while (last < this.#starts.length && (this.#starts[last] as number) < end) {
      const start = this.#starts[last] as number
      const stop = this.#ends[last] as number
      removed += Math.min(stop, end) - Math.max(start, offset)
      for (const [from, to] of [
        [start, offset],
        [end, stop],
      ] as const) {
        if (from >= to) continue
        starts.push(from)
        ends.push(to)
      }
      last++
    }
    this.#starts.splice(first, last - first, ...starts)
    this.#ends.splice(first, last - first, ...ends)
    this.#coveredBytes -= removed
  }

  /** True if every byte of the range is in. */
  has(range: FileRange): boolean {
    if (range.length === 0) return true
    const i = this.#firstEndingAtOrAfter(range.offset + 1)
    const start = this.#starts[i]
    const end = this.#ends[i]
    return start !== undefined && end !== undefined && start <= range.offset && end >= endOf(range)
  }

  /** The first offset that is not in, counted from 0: how far a sequential reader may go. */
  get contiguousBytes(): number {
    return this.#starts[0] === 0 ? (this.#ends[0] as number) : 0
  }

  /** The ranges that are not in, ascending. */
  missing(): FileRange[] {
    const ranges: FileRange[] = []
    let at = 0
    for (const [i, start] of this.#starts.entries()) {
      if (start > at) ranges.push({ offset: at, length: start - at })
      at = this.#ends[i] as number
    }
    if (at < this.totalBytes) ranges.push({ offset: at, length: this.totalBytes - at })
    return ranges
  }

  #check(range: FileRange): void {
    if (range.offset < 0 || range.length < 0 || endOf(range) > this.totalBytes) {
      throw new RangeError(
        `range ${range.offset}+${range.length} lies outside of an image of ${this.totalBytes} bytes`,
      )
    }
  }

  /** Index of the first run whose end is >= offset. */
  #firstEndingAtOrAfter(offset: number): number {
    let low = 0
    let high = this.#ends.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#ends[middle] as number) < offset) low = middle + 1
      else high = middle
    }
    return low
  }
}
