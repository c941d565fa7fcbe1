// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  anySignal,
  endedOrLate,
  sleep,
  throwIfAborted,
  timerMs,
  withDeadline,
} from '../../../agent/core/deadline.ts'
import { AgentError } from '../../../agent/core/errors.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

/** Whether a promise has settled by now, without waiting for it. */
async function hasSettled(promise: Promise<unknown>): Promise<boolean> {
  let isSettled = false
  promise.then(
    () => {
      isSettled = true
    },
    () => {
      isSettled = true
    },
  )
  await vi.advanceTimersByTimeAsync(0)
  return isSettled
}

describe('a sleep', () => {
  test('lasts as long as asked for', async () => {
    const asleep = sleep(1000)
    await vi.advanceTimersByTimeAsync(999)
    expect(await hasSettled(asleep)).toBe(false)
    await vi.advanceTimersByTimeAsync(1)
    expect(await hasSettled(asleep)).toBe(true)
  })

  test('ends with the reason of its signal, and leaves no timer', async () => {
    const controller = new AbortController()
    const asleep = sleep(1000, controller.signal)
    const reason = new Error('enough')
    controller.abort(reason)
    await expect(asleep).rejects.toBe(reason)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('does not begin when its signal has aborted', async () => {
    const reason = new Error('before')
    await expect(sleep(1000, AbortSignal.abort(reason))).rejects.toBe(reason)
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('a wait that is longer than a timer can be', () => {
  const month = 30 * 24 * 3600 * 1000

  test('of a sleep does not end at once', async () => {
    const asleep = sleep(month)
    await vi.advanceTimersByTimeAsync(3600_000)
    expect(await hasSettled(asleep)).toBe(false)
  })

  test('for work does not end at once', async () => {
    const work = withDeadline(new Promise(() => undefined), month, () => new Error('too late'))
    const left = endedOrLate(new Promise(() => undefined), month)
    await vi.advanceTimersByTimeAsync(3600_000)
    expect(await hasSettled(Promise.race([work, left]))).toBe(false)
  })

  test('is as long as a timer can be, in whole ms', () => {
    expect(timerMs(month)).toBe(2 ** 31 - 1)
    expect(timerMs(1.2345 * 1000)).toBe(1235)
  })
})

describe('work with a deadline', () => {
  const late = () => new Error('too late')

  test('brings its result when it is in time, and leaves no timer', async () => {
    expect(await withDeadline(Promise.resolve(7), 1000, late)).toBe(7)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('fails as it does, not as the deadline does', async () => {
    const failure = new Error('own')
    await expect(withDeadline(Promise.reject(failure), 1000, late)).rejects.toBe(failure)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('is left behind when the time is up', async () => {
    const working = withDeadline(new Promise(() => {}), 1000, late)
    const outcome = expect(working).rejects.toThrow('too late')
    await vi.advanceTimersByTimeAsync(1000)
    await outcome
  })
})

describe('several signals', () => {
  test('abort with any of them, by its reason; those that are not there are left out', () => {
    const [first, second] = [new AbortController(), new AbortController()]
    const signal = anySignal(undefined, first.signal, second.signal)
    expect(signal.aborted).toBe(false)
    second.abort('second')
    expect(signal.reason).toBe('second')
    expect(anySignal(undefined).aborted).toBe(false)
  })
})

describe('an aborted signal', () => {
  test('is thrown as the error of the agent that it carries', () => {
    const reason = new AgentError('ImageDownloadTimeoutError', 'x')
    expect(() => throwIfAborted(AbortSignal.abort(reason))).toThrow(reason)
  })

  test('is thrown as CancelledError when it carries something else, which becomes the cause', () => {
    const reason = new Error('ctrl-c')
    try {
      throwIfAborted(AbortSignal.abort(reason))
      expect.unreachable()
    } catch (error) {
      expect(error).toMatchObject({ type: 'CancelledError', cause: reason })
    }
  })

  test('is none when there is none, or it has not aborted', () => {
    throwIfAborted(undefined)
    throwIfAborted(new AbortController().signal)
  })
})

describe('waiting for an end, or for the time to be up', () => {
  test('ends with the work, well or not, and leaves no timer', async () => {
    await endedOrLate(Promise.resolve(), 1000)
    await endedOrLate(Promise.reject(new Error('hung up')), 1000)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('ends after its time for work that does not', async () => {
    const waiting = endedOrLate(new Promise(() => undefined), 1000)
    await vi.advanceTimersByTimeAsync(999)
    expect(await hasSettled(waiting)).toBe(false)
    await vi.advanceTimersByTimeAsync(1)
    expect(await hasSettled(waiting)).toBe(true)
  })
})
