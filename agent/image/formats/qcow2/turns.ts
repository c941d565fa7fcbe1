// SPDX-License-Identifier: Apache-2.0
// Owns letting others have their turn during a walk over tables that are in memory: each `await` of it is over before
// a timer, a socket or the end of a deadline is looked at.
import { setImmediate } from 'node:timers/promises'

/** So long a walk may hold up everything else, ms. */
const MOST_MS = 10

/** The turns of one walk: call `turn` often, it costs nothing in between. */
export function createTurns(): { turn(): Promise<void> } {
  let since = performance.now()
  return {
    turn: async () => {
      if (performance.now() - since < MOST_MS) return
      await setImmediate()
      since = performance.now()
    },
  }
}
