// SPDX-License-Identifier: Apache-2.0
// Owns waiting: sleeps, deadlines and the composition of AbortSignals. Every wait of the agent has one.
import { AgentError } from './errors.ts'

/** What a timer can wait, ms: 24 days. Node fires a longer one at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** A wait as timers take it: whole ms, no longer than they can be. An option may ask for more, and for parts of a second. */
export function timerMs(ms: number): number {
  return Math.min(Math.ceil(ms), LONGEST_TIMER_MS)
}

/** Sleeps `ms`; rejects with the signal's reason when it aborts first. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, timerMs(ms))
    const onAbort = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/** A signal that aborts with the first of those given; undefined ones are skipped. */
export function anySignal(...signals: (AbortSignal | undefined)[]): AbortSignal {
  return AbortSignal.any(signals.filter((signal) => signal !== undefined))
}

/** `work`, or a rejection with `onTimeout()` after `ms`. The work itself must watch its own signal. */
export async function withDeadline<T>(
  work: Promise<T>,
  ms: number,
  onTimeout: () => Error,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(onTimeout()), timerMs(ms))
  })
  try {
    return await Promise.race([work, timeout])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Resolves when `work` has ended, well or not, and after `ms` at the latest: for what cannot be called back, and is
 * then left behind.
 */
export async function endedOrLate(work: Promise<unknown>, ms: number): Promise<void> {
  const late = Promise.withResolvers<void>()
  const timer = setTimeout(late.resolve, timerMs(ms))
  await Promise.race([work.catch(() => undefined), late.promise])
  clearTimeout(timer)
}

/** Throws CancelledError (or the AgentError the signal carries) if the signal has aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return
  if (signal.reason instanceof AgentError) throw signal.reason
  throw new AgentError('CancelledError', 'the operation was cancelled', { cause: signal.reason })
}

/** Sits until the signal aborts. A process that waits for nothing else stays alive. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  // a process without a timer or socket would end by itself
  const alive = setInterval(() => undefined, 60_000)
  return new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  }).finally(() => clearInterval(alive))
}
