// SPDX-License-Identifier: Apache-2.0
// Owns the interface between the engine and the object store of the image, the web seed of BEP 19. Does
// not know HTTP.
import type { ByteRange } from '../../../../core/extent.ts'

/** Reads image bytes from the object store; the production one is sources/http's range reader. */
export interface Origin {
  /** Wrong pieces before it is given up. */
  readonly maxStrikes: number
  /** Rejects with an AgentError of kind `transient` if asking again makes sense. */
  readRange(range: ByteRange, target: Uint8Array, signal: AbortSignal): Promise<void>
  /** What came for this range has a wrong hash. */
  reportCorrupt(range: ByteRange): void
}
