// SPDX-License-Identifier: Apache-2.0
// Owns the verdict on what was read back: the sum of a range is that of what was written, zeros are zeros. Does not
// read.
import { AgentError } from '../../core/errors.ts'
import { type DiskRange, endOf } from '../../core/extent.ts'
import { createExtentSum, type ExtentSum } from './extent-sum.ts'
import type { WrittenPart } from './unread-ranges.ts'

export class RangeComparison {
  readonly #path: string
  readonly #zeros: Buffer
  /** Of the range whose parts are compared. */
  #sum: ExtentSum | undefined

  /** @param path of the disk, for the message @param partBytes the longest part */
  constructor(path: string, partBytes: number) {
    this.#path = path
    this.#zeros = Buffer.alloc(partBytes)
  }

  /** Takes all parts of a range in their order, then those of the next. Throws ReadBackMismatchError. */
  compare({ of: written, ...part }: WrittenPart, bytes: Uint8Array): void {
    if (written.sum === undefined) {
      const isZero = Buffer.compare(bytes, this.#zeros.subarray(0, bytes.length)) === 0
      if (!isZero) throw this.#lost(written)
      return
    }
    if (part.offset === written.offset) this.#sum = createExtentSum(written.length)
    this.#sum?.update(bytes)
    if (endOf(part) === endOf(written) && this.#sum?.value() !== written.sum) {
      throw this.#lost(written)
    }
  }

  #lost(range: DiskRange): AgentError {
    return new AgentError(
      'ReadBackMismatchError',
      `${this.#path} bytes ${range.offset}–${endOf(range) - 1} do not read back as they were unpacked: the disk ` +
        'or the path to it is suspect; see dmesg and SMART',
    )
  }
}
