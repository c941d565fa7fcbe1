// SPDX-License-Identifier: Apache-2.0
// Owns what may be done in one go: pieces that follow each other, on the guest's disk and in the file, become
// one run. Does not read or write.
import type { Piece } from './clusters.ts'

type Compressed = Extract<Piece, { kind: 'compressed' }>

/** One go: zeros of any length, one read and one write, or one read, some decoding and one write. */
export type Run =
  | Exclude<Piece, Compressed>
  | {
      readonly kind: 'compressed'
      readonly guest: number
      readonly length: number
      /** Bytes of the file that hold all of the clusters. */
      readonly host: number
      readonly hostBytes: number
      /** In the order of the guest's disk. */
      readonly clusters: Compressed[]
    }

export interface RunLimits {
  /** Of the guest's bytes in a run with data; a single piece may have more. */
  readonly guestBytes: number
  /** Of the file's bytes in a run with compressed clusters; a single piece may have more. */
  readonly hostBytes: number
}

/** Takes pieces in the order of the guest's disk. */
export interface RunMaker {
  /** The run that this piece does not belong to any more, if one is finished by it. */
  add(piece: Piece): Run | undefined
  /** The last run. */
  finish(): Run | undefined
}

export function createRunMaker(limits: RunLimits): RunMaker {
  let run: Run | undefined
  return {
    add: (piece) => {
      const joined = run && join(run, piece, limits)
      const finished = joined === undefined ? run : undefined
      run = joined ?? begin(piece)
      return finished
    },
    finish: () => {
      const finished = run
      run = undefined
      return finished
    },
  }
}

function begin(piece: Piece): Run {
  return piece.kind === 'compressed' ? { ...piece, clusters: [piece] } : piece
}

/** The run with the piece at its end, if it may be there. */
function join(run: Run, piece: Piece, limits: RunLimits): Run | undefined {
  if (run.guest + run.length !== piece.guest) return undefined
  const length = run.length + piece.length
  if (run.kind === 'zero') return piece.kind === 'zero' ? { ...run, length } : undefined
  if (length > limits.guestBytes) return undefined
  if (run.kind === 'plain') {
    const follows = piece.kind === 'plain' && piece.host === run.host + run.length
    return follows ? { ...run, length } : undefined
  }
  return piece.kind === 'compressed' ? joinCompressed(run, piece, length, limits) : undefined
}

/** Compressed clusters lie close to each other, mostly in order, and share sectors. */
function joinCompressed(
  run: Extract<Run, { kind: 'compressed' }>,
  piece: Compressed,
  length: number,
  limits: RunLimits,
): Run | undefined {
  const host = Math.min(run.host, piece.host)
  const end = Math.max(run.host + run.hostBytes, piece.host + piece.hostBytes)
  if (end - host > limits.hostBytes) return undefined
  // the same array: a copy for each cluster of 512 bytes would be thousands
  run.clusters.push(piece)
  return { ...run, length, host, hostBytes: end - host }
}
