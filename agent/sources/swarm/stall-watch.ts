// SPDX-License-Identifier: Apache-2.0
// Owns when a delivery of the swarm has stalled: no piece for a while, or so little in that time that somebody
// only seems to bring something. Does not end it.
import type { SwarmLimits } from './swarm-task.ts'

/** Less is enough only where we limit ourselves. */
const LEAST_BYTES_PER_SECOND = 16 * 1024

/** Over so many times the stall limit: a worker that hangs and is replaced costs one. */
const WINDOW_STALLS = 2

/** What has come in, in which time. */
export interface Stall {
  readonly ms: number
  /** 0: not even a piece. */
  readonly bytes: number
}

export interface StallWatch {
  /** A piece is verified and on the disk, whoever brought it. */
  notePiece(at: number, bytes: number): void
  /** In the last `ms` nobody could expect a piece: this node was busy with something else. */
  excuse(at: number, ms: number): void
  silentMs(at: number): number
  /**
   * Call several times a second.
   * @param stalls how many times the limit is waited for a piece; above 1 slowness is no reason either
   */
  look(at: number, stalls: number): Stall | undefined
}

/** @param limits durations in ms; with a stall limit of 0 nothing is ever a stall */
export function createStallWatch(
  { stallTimeoutMs, downloadLimit }: Pick<SwarmLimits, 'stallTimeoutMs' | 'downloadLimit'>,
  startedAt: number,
): StallWatch {
  const leastRate =
    downloadLimit > 0 ? Math.min(LEAST_BYTES_PER_SECOND, downloadLimit / 2) : LEAST_BYTES_PER_SECOND
  let pieceAt = startedAt
  let windowAt = startedAt
  let windowBytes = 0

  function look(at: number, stalls: number): Stall | undefined {
    if (stallTimeoutMs <= 0) return undefined
    const silentMs = at - pieceAt
    if (silentMs > stalls * stallTimeoutMs) return { ms: silentMs, bytes: 0 }
    const ms = at - windowAt
    if (ms <= WINDOW_STALLS * stallTimeoutMs) return undefined
    const came = windowBytes
    windowAt = at
    windowBytes = 0
    const isSlow = stalls === 1 && came > 0 && (came * 1000) / ms < leastRate
    return isSlow ? { ms, bytes: came } : undefined
  }

  return {
    notePiece: (at, bytes) => {
      pieceAt = at
      windowBytes += bytes
    },
    excuse: (at, ms) => {
      pieceAt = Math.max(pieceAt, at - ms)
      windowAt = Math.min(at, windowAt + ms)
    },
    silentMs: (at) => at - pieceAt,
    look,
  }
}
