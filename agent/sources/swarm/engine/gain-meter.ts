// SPDX-License-Identifier: Apache-2.0
// Owns the question "do we still gain?": bytes of verified pieces over the last seconds against the
// best so far and against what the origin could bring. Does not act on the answer.

const WINDOW_MS = 2000
/** Below this share of its best speed a node looks for other sources. */
const STARVING_SHARE = 0.35
/** Peers that bring less than this share of the origin's speed are not waited for. */
const ORIGIN_SHARE = 0.5
const STARVING_MS = 1500

export interface GainMeter {
  note(bytes: number, from: 'origin' | 'peers'): void
  /** True if little or nothing came in lately. @param originRate bytes per second */
  isStarving(originRate: number): boolean
}

export function createGainMeter(now: () => number): GainMeter {
  const gains: { readonly at: number; readonly all: number; readonly peers: number }[] = []
  const window = { all: 0, peers: 0 }
  const bornAt = now()
  let peakBytes = 0
  let lastAt = bornAt

  function forget(at: number): void {
    while (gains[0] && gains[0].at < at - WINDOW_MS) {
      window.all -= gains[0].all
      window.peers -= gains[0].peers
      gains.shift()
    }
  }

  function note(bytes: number, from: 'origin' | 'peers'): void {
    const at = now()
    const peers = from === 'peers' ? bytes : 0
    gains.push({ at, all: bytes, peers })
    window.all += bytes
    window.peers += peers
    lastAt = at
    forget(at)
    peakBytes = Math.max(peakBytes, window.all)
  }

  function isStarving(originRate: number): boolean {
    const at = now()
    forget(at)
    if (at - lastAt > STARVING_MS || window.all < STARVING_SHARE * peakBytes) return true
    const seconds = Math.min(WINDOW_MS, at - bornAt) / 1000
    return at - bornAt > WINDOW_MS && window.peers < ORIGIN_SHARE * originRate * seconds
  }

  return { note, isStarving }
}
