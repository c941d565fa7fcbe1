// SPDX-License-Identifier: Apache-2.0
// Owns a rate limit: bytes per second with a short burst. Does not wait; the caller asks again later.
import { BLOCK_BYTES } from '../torrent/piece-layout.ts'

/** `take` says whether `bytes` may pass now; a limit of 0 lets everything pass. */
export interface TokenBucket {
  take(bytes: number): boolean
}

/** The balance may go below zero by one request, so that requests above the burst pass at all. */
export function createTokenBucket(bytesPerSecond: number, now: () => number): TokenBucket {
  if (bytesPerSecond <= 0) return { take: () => true }
  const burstBytes = Math.max(bytesPerSecond / 4, BLOCK_BYTES)
  let balance = burstBytes
  let refilledAt = now()

  function take(bytes: number): boolean {
    const at = now()
    const earned = (Math.max(0, at - refilledAt) / 1000) * bytesPerSecond
    balance = Math.min(burstBytes, balance + earned)
    refilledAt = at
    if (balance <= 0) return false
    balance -= bytes
    return true
  }

  return { take }
}
