// SPDX-License-Identifier: Apache-2.0
// Owns how late this thread is: a timer that says when it should have been called. Does not publish it.

const LOOK_MS = 500
/** A minute. */
const MOST_SAMPLES = 120

export interface LoopLag extends Disposable {
  /** Over the last minute, seconds. */
  read(): { readonly max: number; readonly mean: number }
}

export function watchLoopLag(): LoopLag {
  const lags: number[] = []
  let dueAt = performance.now() + LOOK_MS
  const timer = setInterval(() => {
    const now = performance.now()
    lags.push(Math.max(0, now - dueAt) / 1000)
    if (lags.length > MOST_SAMPLES) lags.shift()
    dueAt = now + LOOK_MS
  }, LOOK_MS)
  timer.unref()
  return {
    read: () => ({
      max: Math.max(0, ...lags),
      mean: lags.length === 0 ? 0 : lags.reduce((sum, lag) => sum + lag, 0) / lags.length,
    }),
    [Symbol.dispose]: () => clearInterval(timer),
  }
}
