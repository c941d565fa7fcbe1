// SPDX-License-Identifier: Apache-2.0
// Owns that a meter keeps up with what somebody else moves: a clock, a counter of the kernel. Does not measure.
import type { ProgressMeter } from './progress-meter.ts'

/**
 * Asks `read` how much is done, again and again until disposed of; undefined, or an error, is one look that brought
 * nothing.
 * @param everyMs 1000 unless given
 */
export function follow(
  meter: Pick<ProgressMeter, 'reach'>,
  read: () => Promise<number | undefined>,
  everyMs = 1000,
): Disposable {
  let isLooking = false
  let isOver = false
  const look = async () => {
    if (isLooking) return
    isLooking = true
    try {
      const done = await read()
      if (done !== undefined && !isOver) meter.reach(done)
    } catch {
      // the next one
    } finally {
      isLooking = false
    }
  }
  const timer = setInterval(() => void look(), everyMs)
  timer.unref()
  return {
    [Symbol.dispose]: () => {
      isOver = true
      clearInterval(timer)
    },
  }
}
