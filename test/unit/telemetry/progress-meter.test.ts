import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Progress } from '../../../agent/core/events.ts'
import { createProgressMeter } from '../../../agent/telemetry/progress-meter.ts'

const MiB = 1024 ** 2

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function meterAt(options: { stats?: () => { peers: number; uploadedBytes: number } } = {}) {
  const seen: Progress[] = []
  const meter = createProgressMeter({
    now: () => Date.now(),
    onProgress: (progress) => seen.push(progress),
    ...options,
  })
  return { meter, seen, last: () => seen.at(-1) as Progress }
}

describe('createProgressMeter', () => {
  test('tells percent, rate and ETA from what came in over the last seconds', () => {
    using context = closing(meterAt())
    const { meter } = context
    meter.begin('fetch', 100 * MiB, { source: 'http' })
    for (let second = 0; second < 4; second++) {
      vi.advanceTimersByTime(1000)
      meter.add(10 * MiB, 'origin')
    }
    expect(meter.snapshot()).toMatchObject({
      step: 'fetch',
      doneBytes: 40 * MiB,
      totalBytes: 100 * MiB,
      percent: 40,
      rateBytesPerSecond: 10 * MiB,
      etaSeconds: 6,
      source: 'http',
      bytes: { origin: 40 * MiB, peers: 0, file: 0 },
    })
  })

  test('forgets what happened before the window', () => {
    using context = closing(meterAt())
    const { meter } = context
    meter.begin('fetch', 1000 * MiB)
    vi.advanceTimersByTime(1000)
    meter.add(500 * MiB, 'peers')
    for (let second = 0; second < 10; second++) {
      vi.advanceTimersByTime(1000)
      meter.add(1 * MiB, 'peers')
    }
    expect(meter.snapshot().rateBytesPerSecond).toBeLessThan(2 * MiB)
  })

  test('a stall brings the rate down to 0 and the ETA to unknown while nothing is added', () => {
    using context = closing(meterAt())
    const { meter, last } = context
    meter.begin('fetch', 10 * MiB)
    vi.advanceTimersByTime(1000)
    meter.add(MiB, 'origin')
    vi.advanceTimersByTime(20_000)
    expect(last()).toMatchObject({ rateBytesPerSecond: 0, etaSeconds: null })
  })

  test('emits at most twice a second, whatever comes in, and at every change of step', () => {
    using context = closing(meterAt())
    const { meter, seen } = context
    meter.begin('fetch', 10_000)
    for (let i = 0; i < 1000; i++) {
      vi.advanceTimersByTime(1)
      meter.add(10, 'origin')
    }
    expect(seen.length).toBeGreaterThanOrEqual(2)
    expect(seen.length).toBeLessThanOrEqual(4)
    const before = seen.length
    meter.begin('read-back', 10_000)
    meter.begin('done', 10_000, { doneBytes: 10_000 })
    meter.useSource('swarm')
    expect(seen.length).toBe(before + 3)
  })

  test('bytes that were there at the start count as done, not as speed', () => {
    using context = closing(meterAt())
    const { meter } = context
    meter.begin('fetch', 100, { doneBytes: 90 })
    vi.advanceTimersByTime(1000)
    expect(meter.snapshot()).toMatchObject({ percent: 90, rateBytesPerSecond: 0 })
  })

  test('asks the source for peers and upload', () => {
    using context = closing(meterAt({ stats: () => ({ peers: 3, uploadedBytes: 9 }) }))
    context.meter.begin('fetch', 1)
    expect(context.last()).toMatchObject({ peers: 3, uploadedBytes: 9 })
  })

  test('bytes taken back come off again, never below nothing', () => {
    using context = closing(meterAt())
    const { meter } = context
    meter.begin('fetch', 100)
    meter.add(50, 'peers')
    meter.takeBack(20)
    expect(meter.snapshot().doneBytes).toBe(30)
    meter.takeBack(99)
    expect(meter.snapshot()).toMatchObject({ doneBytes: 0, percent: 0 })
  })

  test('says 100 percent only when every byte is there', () => {
    using context = closing(meterAt())
    const { meter } = context
    meter.begin('fetch', 1_000_000)
    meter.add(999_999)
    expect(meter.snapshot().percent).toBe(99.9)
    meter.add(1)
    expect(meter.snapshot()).toMatchObject({ percent: 100, etaSeconds: 0 })
  })

  test('is silent after it was disposed of', () => {
    const { meter, seen } = meterAt()
    meter.begin('fetch', 1)
    const before = seen.length
    meter[Symbol.dispose]()
    vi.advanceTimersByTime(10_000)
    expect(seen.length).toBe(before)
  })

  test('every snapshot is in bounds, whatever is added and taken back', () => {
    const change = fc.record({
      bytes: fc.integer({ min: 0, max: 1000 }),
      waitMs: fc.integer({ min: 0, max: 3000 }),
      isBack: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(change), (changes) => {
        using context = closing(meterAt())
        context.meter.begin('fetch', 5000)
        for (const { bytes, waitMs, isBack } of changes) {
          vi.advanceTimersByTime(waitMs)
          if (isBack) context.meter.takeBack(bytes)
          else context.meter.add(bytes)
        }
        for (const progress of context.seen) {
          expect(progress.percent).toBeGreaterThanOrEqual(0)
          expect(progress.percent).toBeLessThanOrEqual(100)
          expect(progress.rateBytesPerSecond).toBeGreaterThanOrEqual(0)
          expect(progress.etaSeconds ?? 0).toBeGreaterThanOrEqual(0)
        }
      }),
      { numRuns: 30 },
    )
  })
})

function closing<T extends { meter: Disposable }>(context: T): T & Disposable {
  return { ...context, [Symbol.dispose]: () => context.meter[Symbol.dispose]() }
}
