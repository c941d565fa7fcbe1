import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { SILENT_MS, watchSilence } from '../../../../../agent/sources/swarm/wire/silence-watch.ts'

const MINUTE_MS = 60_000
beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] }))
afterEach(() => void vi.useRealTimers())

test('a peer that says nothing for minutes is given up, once; one that keeps alive is not', () => {
  let given = 0
  const silence = watchSilence(SILENT_MS, () => {
    given += 1
  })
  for (let minute = 0; minute < 60; minute += 2) {
    vi.advanceTimersByTime(2 * MINUTE_MS)
    silence.heard()
  }
  expect(given).toBe(0)
  vi.advanceTimersByTime(60 * MINUTE_MS)
  expect(given).toBe(1)
})

test('after the end of the connection nothing is watched', () => {
  const silence = watchSilence(SILENT_MS, () => expect.unreachable())
  silence.stop()
  vi.advanceTimersByTime(60 * MINUTE_MS)
  expect(vi.getTimerCount()).toBe(0)
})

test('where nothing is expected to move nobody is given up', () => {
  let given = 0
  let isIdle = true
  watchSilence(
    MINUTE_MS,
    () => {
      given += 1
    },
    () => isIdle,
  )
  vi.advanceTimersByTime(60 * MINUTE_MS)
  expect(given).toBe(0)
  isIdle = false
  vi.advanceTimersByTime(60 * MINUTE_MS)
  expect(given).toBe(1)
})
