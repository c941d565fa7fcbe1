// SPDX-License-Identifier: Apache-2.0
// Owns the watch on a body that comes too slowly. Does not end it: its owner does.
import { timerMs } from '../core/deadline.ts'

/** The slowest that a body may come, as an average over `seconds`; 0 of either: no limit. */
export interface SlowestRate {
  readonly bytesPerSecond: number
  readonly seconds: number
}

export interface SpeedFloor extends Disposable {
  took(bytes: number): void
  /** The reader has halted: from now on it is not the sender who is slow. */
  pause(): void
  resume(): void
}

/**
 * Judges one window of `slowest.seconds` after the other, each for itself, so that a body is found out after
 * two windows at the latest. Time in which the reader halts belongs to none.
 * @param onTooSlow is called once, with the bytes of the window that fell short
 */
export function createSpeedFloor(
  slowest: SlowestRate | undefined,
  onTooSlow: (bytes: number) => void,
): SpeedFloor {
  const { bytesPerSecond = 0, seconds = 0 } = slowest ?? {}
  const isWatching = bytesPerSecond > 0 && seconds > 0
  let timer: NodeJS.Timeout | undefined
  let isOver = false
  let bytes = 0
  const pause = () => {
    clearTimeout(timer)
    timer = undefined
  }
  const resume = () => {
    if (!isWatching || isOver || timer) return
    bytes = 0
    timer = setTimeout(judge, timerMs(seconds * 1000))
  }
  const judge = () => {
    pause()
    if (bytes < bytesPerSecond * seconds) onTooSlow(bytes)
    else resume()
  }
  resume()
  return {
    took: (count) => {
      bytes += count
    },
    pause,
    resume,
    [Symbol.dispose]: () => {
      isOver = true
      pause()
    },
  }
}
