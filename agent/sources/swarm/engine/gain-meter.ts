// SPDX-License-Identifier: Apache-2.0
// Owns the question "do we still gain?": bytes of verified pieces over the last seconds against the
// best so far. Does not act on the answer.

const WINDOW_MS = 2000
/** Below this share of its best speed a node looks for other sources. */
const STARVING_SHARE = 0.35
const STARVING_MS = 1500

export interface GainMeter {
  note(bytes: number): void
  /** True if little or nothing came in lately. */
  isStarving(): boolean
}

export function createGainMeter(now: () => number): GainMeter {
  const gains: { at: number; bytes: number }[] = []
  let windowBytes = 0
  let peakBytes = 0
  let lastAt = now()

  function forget(at: number): void {
    while (gains[0] && gains[0].at < at - WINDOW_MS) windowBytes -= gains.shift()?.bytes ?? 0
  }

  function note(bytes: number): void {
    const at = now()
    gains.push({ at, bytes })
    windowBytes += bytes
    lastAt = at
    forget(at)
    peakBytes = Math.max(peakBytes, windowBytes)
  }

  function isStarving(): boolean {
    const at = now()
    forget(at)
    return at - lastAt > STARVING_MS || windowBytes < STARVING_SHARE * peakBytes
  }

  return { note, isStarving }
}
