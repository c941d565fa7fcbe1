// SPDX-License-Identifier: Apache-2.0
// Owns the interface of a place where image bytes come from. A source knows nothing of disks.
import type { Coverage } from '../core/coverage.ts'
import type { BufferPool, FileRange, FileSink, ImageReader } from '../core/extent.ts'

export interface DeliverRequest {
  /** Length of the image, bytes; what the plan expects. A source that sees another length throws. */
  readonly totalBytes: number
  /** What is on the disk already; the sink adds to it, the source only reads it. */
  readonly coverage: Coverage
  readonly sink: FileSink
  /** What is there of this range is wrong: it counts as missing again, for whichever source comes next too. */
  withdraw(range: FileRange): void
  readonly pool: BufferPool
  /** Reads covered bytes back, for seeding and for checking pieces another source brought. */
  readonly readImage: ImageReader
  /** Ends the delivery; the source leaves nothing behind. */
  readonly signal: AbortSignal
}

/** A live figure of a source, for progress. */
export interface SourceStats {
  readonly peers: number
  readonly uploadedBytes: number
}

/**
 * Brings missing bytes to a sink. `deliver` resolves when every byte below `totalBytes` is covered, and
 * rejects with an AgentError: kind `source` or `transient` lets the next source go on from the coverage.
 * A source may go on serving others (seeding) until it is disposed of.
 */
export interface ImageSource extends AsyncDisposable {
  readonly name: 'swarm' | 'http' | 'file'
  deliver(request: DeliverRequest): Promise<void>
  stats(): SourceStats
  /** Resolves when a source that serves others has ended that by itself, or is disposed of. */
  readonly ended?: Promise<void>
}
