// SPDX-License-Identifier: Apache-2.0
// Owns the interface of a swarm's origin: any range of the image, read straight into memory the caller
// owns. Does not know HTTP.
import { AgentError } from '../core/errors.ts'
import type { FileRange } from '../core/extent.ts'

export interface RangeReader {
  /**
   * Fills the first `range.length` bytes of `target`. On rejection they may hold anything.
   * @throws AgentError ImageDownloadError: `transient` may be asked again later; RangeUnsupportedError
   *   when every url that is left ignores Range
   */
  readRange(range: FileRange, target: Uint8Array, signal: AbortSignal): Promise<void>
  /** The bytes of this range failed their hash: a strike against the url they came from. */
  reportCorrupt(range: FileRange): void
}

/** The servers answer a Range with the whole image: read it in sequence (ImageSource) instead. */
export class RangeUnsupportedError extends AgentError {
  constructor(details: string) {
    super('ImageDownloadError', details, { kind: 'source' })
  }
}
