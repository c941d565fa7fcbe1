// SPDX-License-Identifier: Apache-2.0
// Owns what was written and is to be read back, in the order it was written, cut into what is read at once. Does not
// read.
import { type DiskRange, endOf } from '../../core/extent.ts'

/** Zeros have no sum: they are compared. */
export interface WrittenRange extends DiskRange {
  readonly sum: number | undefined
}

/** What is read at once. */
export interface WrittenPart extends DiskRange {
  readonly of: WrittenRange
}

/** Fewer that are handed out are not worth a new list. */
const LEAST_FORGOTTEN = 1024

export class UnreadRanges {
  readonly #partBytes: number
  #ranges: WrittenRange[] = []
  /** Those before it are handed out. */
  #next = 0
  #handedOutBytes = 0
  #totalBytes = 0

  /** @param partBytes of a part, at most */
  constructor(partBytes: number) {
    this.#partBytes = partBytes
  }

  /** Of all that were added. */
  get totalBytes(): number {
    return this.#totalBytes
  }

  /** Those that are not handed out. */
  get count(): number {
    return this.#ranges.length - this.#next
  }

  add(range: WrittenRange): void {
    this.#ranges.push(range)
    this.#totalBytes += range.length
  }

  /** Hands out the ranges that so many bytes were added after, those included that are added meanwhile. */
  *partsBehind(lagBytes: number): Generator<WrittenPart, undefined> {
    for (let of = this.#ranges[this.#next]; of; of = this.#ranges[this.#next]) {
      if (this.#totalBytes - this.#handedOutBytes - of.length < lagBytes) return
      this.#next += 1
      this.#handedOutBytes += of.length
      for (const range of partsOf(of, this.#partBytes)) yield { ...range, of }
    }
  }

  /** What is handed out takes no more memory; nobody may be in the middle of parts. */
  forgetHandedOut(): void {
    if (this.#next < LEAST_FORGOTTEN && this.#next < this.#ranges.length) return
    this.#ranges = this.#ranges.slice(this.#next)
    this.#next = 0
  }
}

/** The range in parts of one length, the last shorter. */
export function* partsOf(range: DiskRange, length: number): Generator<DiskRange> {
  for (let at = range.offset; at < endOf(range); at += length) {
    yield { offset: at, length: Math.min(length, endOf(range) - at) }
  }
}
