// SPDX-License-Identifier: Apache-2.0
// Owns when a tracker counts as failing, and when as answering: said once, not with every request. Does
// not ask it.

export type TrackerState = 'failing' | 'answering'

/** One that has answered may miss this many answers in a row: it is being restarted, or busy. */
const MISSED_ANSWERS = 3
/** One that comes and goes is news once in this long. */
const PAUSE_MS = 60_000

export interface TrackerHealth {
  answered(): void
  /** @param words what went wrong */
  failed(words: string): void
}

/** @param tell is called with each change, and what is wrong */
export function createTrackerHealth(
  now: () => number,
  tell: (state: TrackerState, words: string) => void,
): TrackerHealth {
  let state: TrackerState | undefined
  let failures = 0
  let failedAt = Number.NEGATIVE_INFINITY
  return {
    answered: () => {
      failures = 0
      if (state === 'answering') return
      state = 'answering'
      tell(state, '')
    },
    failed: (words) => {
      failures += 1
      if (state === 'failing' || (state === 'answering' && failures < MISSED_ANSWERS)) return
      if (now() - failedAt < PAUSE_MS) return
      state = 'failing'
      failedAt = now()
      tell(state, words)
    },
  }
}
