// SPDX-License-Identifier: Apache-2.0
// Owns how an image is cut: into pieces, which have a hash each, and these into blocks, which peers ask
// each other for. Does not know where bytes come from or go.
import type { ByteRange } from '../../../core/extent.ts'
import { KiB } from '../../../core/units.ts'

/**
 * BEP 3: what everybody requests; larger requests are refused by most clients. Every piece but the last
 * is a multiple of it.
 */
export const BLOCK_BYTES = 16 * KiB

/** Pieces of one length, the last one shorter. */
export interface PieceLayout {
  readonly pieceCount: number
  /** Bytes of every piece but the last. */
  readonly pieceLength: number
  /** Bytes of the image. */
  readonly lengthBytes: number
}

/** Where the piece lies in the image. */
export function pieceRange(layout: PieceLayout, piece: number): ByteRange {
  const offset = piece * layout.pieceLength
  return { offset, length: Math.min(layout.pieceLength, layout.lengthBytes - offset) }
}
