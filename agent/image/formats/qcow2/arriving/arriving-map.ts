// SPDX-License-Identifier: Apache-2.0
// Owns where the clusters of a qcow2 lie in its file, in the order of the file, whether they are compressed or not, and
// what of its disk is zero. Does not read tables.
import type { ByteRange } from '../../../../core/extent.ts'
import type { Piece } from '../clusters.ts'
import { type FilePiece, PieceColumns, ZeroColumns } from './columns.ts'

/** Clusters, and ranges of zeros, at most: 40 MiB of columns. A disk of 64 GiB in clusters of 64 KiB has as many. */
export const MOST_PIECES = 2 ** 20
/** The pieces cover each byte of the guest's disk that the zeros do not, once. */
export interface ArrivingMap {
  readonly pieceCount: number
  /** By its place in the file, ascending. Two of them may share bytes of the file. */
  piece(index: number): FilePiece
  /** Ascending, apart. */
  zeros(): Generator<ByteRange>
}

export interface ArrivingMapMaker {
  /** In the order of the guest's disk. */
  add(piece: Piece): void
  /** There are more than are remembered: the rest need not be added. */
  readonly isFull: boolean
  /** Undefined where there are more than are remembered. Nothing is added afterwards. */
  finish(): ArrivingMap | undefined
}

/** @param mostPieces and as many ranges of zeros; those of the piece that is one too many may come on top */
export function createArrivingMapMaker(mostPieces = MOST_PIECES): ArrivingMapMaker {
  const pieces = new PieceColumns()
  const zeros = new ZeroColumns()
  let isTooMany = false
  return {
    add: (piece) => {
      isTooMany ||= Math.max(pieces.count, zeros.count) >= mostPieces
      if (isTooMany) return
      if (piece.kind === 'zero') zeros.add(piece)
      else pieces.add(piece)
    },
    get isFull() {
      return isTooMany
    },
    finish: () => {
      if (isTooMany) return undefined
      pieces.sort()
      return {
        pieceCount: pieces.count,
        piece: (index) => pieces.at(index),
        zeros: () => zeros.ranges(),
      }
    },
  }
}
