import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createAnnouncer } from '../../../../../agent/sources/swarm/session/announcer.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function countAsked(state: { isDownloading: boolean; isKnown: boolean; isBusy?: boolean }) {
  let asked = 0
  const announcer = createAnnouncer({
    targets: () => [
      {
        url: 'http://192.0.2.1/announce',
        isBusy: state.isBusy ?? false,
        announce: () => {
          asked += 1
        },
      },
    ],
    isDownloading: () => state.isDownloading,
    isKnown: () => state.isKnown,
    random: () => 0,
    now: () => Date.now(),
  })
  return (ms: number) => {
    const before = asked
    vi.advanceTimersByTime(ms)
    if (ms === 0) announcer.stop()
    return asked - before
  }
}

test('who downloads asks every few seconds, a seed that is known twice a minute', () => {
  expect(countAsked({ isDownloading: true, isKnown: true })(60_000)).toBe(30)
  expect(countAsked({ isDownloading: false, isKnown: true })(60_000)).toBe(2)
})

test('a seed that no tracker has answered asks as often, for two minutes', () => {
  const within = countAsked({ isDownloading: false, isKnown: false })
  expect(within(120_000)).toBe(60)
  expect(within(600_000)).toBeLessThan(30)
})

test('a tracker that owes an answer is asked more rarely', () => {
  const within = countAsked({ isDownloading: true, isKnown: true, isBusy: true })
  expect(within(60_000)).toBeLessThanOrEqual(6)
  expect(within(60_000)).toBeGreaterThan(0)
})

test('nobody is asked after the end', () => {
  const within = countAsked({ isDownloading: true, isKnown: true })
  within(0)
  expect(within(60_000)).toBe(0)
})
