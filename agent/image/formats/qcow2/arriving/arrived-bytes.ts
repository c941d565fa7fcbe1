// SPDX-License-Identifier: Apache-2.0
// Owns the last bytes of a file that comes in its order: a chunk, and what of those before it is still needed. Does not
// know what for.
import { endOf, type FileRange } from '../../../../core/extent.ts'
import { copyToShared } from '../../../../core/shared-copy.ts'
import type { FileChunk } from '../../unpacker.ts'

export interface ArrivedBytes {
  /** Bytes of the file before this one have come. */
  readonly end: number
  /** These follow those before; they are the caller's again after `keepFrom`. */
  add(chunk: FileChunk): void
  /** Throws RangeError for what has not come, or was not kept. */
  copy(range: FileRange, target: Uint8Array): void
  /** Those before `offset` are not asked for any more. Throws RangeError for more than `mostKeptBytes`. */
  keepFrom(offset: number): void
}

export function createArrivedBytes(mostKeptBytes: number): ArrivedBytes {
  const kept = new Uint8Array(mostKeptBytes)
  let keptBytes = 0
  let chunk: FileChunk = { offset: 0, bytes: new Uint8Array(0) }
  const end = () => chunk.offset + chunk.bytes.length
  const begin = () => chunk.offset - keptBytes

  const copy = (range: FileRange, target: Uint8Array) => {
    if (range.offset < begin() || endOf(range) > end()) {
      throw new RangeError(
        `bytes ${range.offset}+${range.length} of the file; there are those from ${begin()} to ${end()}`,
      )
    }
    const at = range.offset - begin()
    const before = kept.subarray(Math.min(at, keptBytes), Math.min(at + range.length, keptBytes))
    copyToShared(target, before, 0)
    const from = Math.max(0, range.offset - chunk.offset)
    const arrived = chunk.bytes.subarray(from, from + range.length - before.length)
    copyToShared(target, arrived, before.length)
  }
  return {
    get end() {
      return end()
    },
    add: (next) => {
      if (next.offset !== end()) {
        throw new RangeError(
          `bytes from ${next.offset} on came where those from ${end()} on follow`,
        )
      }
      chunk = next
    },
    copy,
    keepFrom: (offset) => {
      const range = { offset: Math.min(offset, end()), length: Math.max(0, end() - offset) }
      if (range.length > mostKeptBytes) {
        throw new RangeError(
          `${range.length} bytes of the file to be kept; at most ${mostKeptBytes}`,
        )
      }
      const stayingBytes = Math.min(keptBytes, Math.max(0, chunk.offset - range.offset))
      kept.copyWithin(0, keptBytes - stayingBytes, keptBytes)
      const addedFrom = range.offset + stayingBytes - chunk.offset
      kept.set(chunk.bytes.subarray(addedFrom), stayingBytes)
      keptBytes = range.length
      chunk = { offset: end(), bytes: new Uint8Array(0) }
    },
  }
}
