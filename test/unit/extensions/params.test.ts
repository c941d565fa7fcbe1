import { afterEach, expect, test, vi } from 'vitest'
import { answerInTime, SYNC_DEADLINE_MS } from '../../../extensions/params.ts'

afterEach(() => {
  vi.useRealTimers()
})

const forever = new AbortController().signal

test('a synchronous command is given less time than the conductor waits before it asks again', () => {
  expect(SYNC_DEADLINE_MS).toBeLessThan(60_000)
})

test('a synchronous command that hangs fails, names itself, and its work is told to stop', async () => {
  let workSignal: AbortSignal | undefined
  const hang = (signal: AbortSignal) => {
    workSignal = signal
    return new Promise<never>(() => undefined)
  }
  vi.useFakeTimers()
  const failed = expect(answerInTime('standby.sync', forever, hang)).rejects.toMatchObject({
    type: 'CommandExecutionError',
    details: expect.stringContaining('standby.sync had no answer'),
  })
  await vi.advanceTimersByTimeAsync(SYNC_DEADLINE_MS)
  await failed
  expect(workSignal?.aborted).toBe(true)
})

test('a synchronous command that ends in time answers what its work answers', async () => {
  expect(await answerInTime('standby.sync', forever, async () => 5)).toBe(5)
})

test('the end of the agent reaches the work of a synchronous command', async () => {
  const ending = new AbortController()
  const work = (signal: AbortSignal) =>
    new Promise<boolean>((resolve) =>
      signal.addEventListener('abort', () => resolve(signal.aborted), { once: true }),
    )
  const answer = answerInTime('standby.sync', ending.signal, work)
  ending.abort()
  expect(await answer).toBe(true)
})
