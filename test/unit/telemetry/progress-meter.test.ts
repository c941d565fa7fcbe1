import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Progress } from '../../../agent/core/events.ts'
import { createProgressMeter } from '../../../agent/telemetry/progress-meter.ts'
import { recordedStream } from '../../support/event-lab.ts'

const MiB = 1024 ** 2

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function meterAt() {
  const events = recordedStream()
  const meter = createProgressMeter({ now: () => Date.now(), events })
  return { meter, events, seen: events.progress, last: () => events.progress().at(-1) as Progress }
}

function sourceOf(name: string, stats = () => ({ peers: 0, uploadedBytes: 0 })) {
  return { name, stats }
}

describe('createProgressMeter', () => {
  test('tells percent, rate and ETA from what came in over the last seconds', () => {
    using context = closing(meterAt())
    const { meter } = context
    meter.begin('fetch', 100 * MiB)
    meter.useSource(sourceOf('http'))
    for (let second = 0; second < 4; second++) {
      vi.advanceTimersByTime(1000)
      meter.add(10 * MiB, 'origin')
    }
    expect(meter.snapshot()).toMatchObject({
      step: 'fetch',
      done: 40 * MiB,
      total: 100 * MiB,
      percent: 40,
      ratePerSecond: 10 * MiB,
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
    expect(meter.snapshot().ratePerSecond).toBeLessThan(2 * MiB)
  })

  test('a stall brings the rate down to 0 and the ETA to unknown while nothing is added', () => {
    using context = closing(meterAt())
    const { meter, last } = context
    meter.begin('fetch', 10 * MiB)
    vi.advanceTimersByTime(1000)
    meter.add(MiB, 'origin')
    vi.advanceTimersByTime(20_000)
    expect(last()).toMatchObject({ ratePerSecond: 0, etaSeconds: null })
  })

  test('emits at most twice a second, whatever comes in, and at every change of step', () => {
    using context = closing(meterAt())
    const { meter, seen } = context
    meter.begin('fetch', 10_000)
    for (let i = 0; i < 1000; i++) {
      vi.advanceTimersByTime(1)
      meter.add(10, 'origin')
    }
    expect(seen().length).toBeGreaterThanOrEqual(2)
    expect(seen().length).toBeLessThanOrEqual(4)
    const before = seen().length
    meter.begin('read-back', 10_000)
    meter.begin('done', 10_000, { done: 10_000 })
    meter.useSource(sourceOf('swarm'))
    expect(seen().length).toBe(before + 3)
  })

  test('bytes that were there at the start count as done, not as speed', () => {
    using context = closing(meterAt())
    const { meter } = context
    meter.begin('fetch', 100, { done: 90 })
    vi.advanceTimersByTime(1000)
    expect(meter.snapshot()).toMatchObject({ percent: 90, ratePerSecond: 0 })
  })

  test('asks the source for peers and upload', () => {
    using context = closing(meterAt())
    context.meter.begin('fetch', 1)
    expect(context.last()).toMatchObject({ source: null, peers: 0, uploadedBytes: 0 })
    context.meter.useSource(sourceOf('swarm', () => ({ peers: 3, uploadedBytes: 9 })))
    expect(context.last()).toMatchObject({ source: 'swarm', peers: 3, uploadedBytes: 9 })
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
    const before = seen().length
    meter[Symbol.dispose]()
    vi.advanceTimersByTime(10_000)
    expect(seen().length).toBe(before)
  })

  test('tells its stages, each ended before the next begins, and the last one by its disposal', () => {
    const { meter, events } = meterAt()
    meter.begin('fetch', 1)
    meter.begin('read-back', 1)
    meter[Symbol.dispose]()
    meter[Symbol.dispose]()
    expect(stagesOf(events)).toEqual([
      'fetch began',
      'fetch ended',
      'read-back began',
      'read-back ended',
    ])
  })

  test('tells seconds as it tells bytes, and never goes back nor beyond the end', () => {
    using context = closing(meterAt())
    const { meter } = context
    meter.begin('burn-in', 120, { unit: 'seconds', subject: 'cpu' })
    for (const second of [1, 2, 3, 2]) {
      vi.advanceTimersByTime(1000)
      meter.reach(second)
    }
    expect(meter.snapshot()).toMatchObject({
      ...{ unit: 'seconds', subject: 'cpu', done: 3, total: 120, percent: 2.5 },
      ...{ ratePerSecond: 0.75, etaSeconds: 156 },
    })
    meter.reach(200)
    expect(meter.snapshot()).toMatchObject({ done: 120, percent: 100, etaSeconds: 0 })
  })

  test('expects of the things that are left what the others took, not what the last seconds brought', () => {
    using context = closing(meterAt())
    const { meter } = context
    meter.begin('inspect', 8, { unit: 'items' })
    meter.turnTo('default')
    vi.advanceTimersByTime(40_000)
    meter.reach(2)
    meter.turnTo('logs')
    expect(meter.snapshot()).toMatchObject({ subject: 'logs', percent: 25, etaSeconds: 120 })
  })

  test('has nothing to tell before its first step', () => {
    using context = closing(meterAt())
    context.meter.reach(0)
    vi.advanceTimersByTime(5000)
    expect(context.events.snapshot().progress).toBeNull()
  })

  test('being done is no stage', () => {
    const { meter, events } = meterAt()
    meter.begin('commit', 0)
    meter.begin('done', 1, { done: 1 })
    expect(stagesOf(events)).toEqual(['commit began', 'commit ended'])
    expect(events.snapshot()).toMatchObject({ stage: null, progress: { step: 'done' } })
    meter[Symbol.dispose]()
    expect(stagesOf(events)).toHaveLength(2)
  })

  test('tells of the swarm when its figures have changed, so never without peers', () => {
    let stats = { peers: 0, uploadedBytes: 0 }
    using context = closing(meterAt())
    const { meter, events } = context
    const swarm = () => events.seen.filter(({ type }) => type === 'swarm')
    meter.begin('fetch', 100)
    meter.useSource(sourceOf('swarm', () => stats))
    vi.advanceTimersByTime(5000)
    meter.add(10, 'origin')
    expect(swarm()).toEqual([])
    stats = { peers: 2, uploadedBytes: 5 }
    meter.add(10, 'peers')
    vi.advanceTimersByTime(5000)
    expect(swarm()).toMatchObject([{ peers: 2, downloadedBytes: 10, uploadedBytes: 5 }])
  })

  test('every snapshot is in bounds, whatever is added', () => {
    const change = fc.record({
      bytes: fc.integer({ min: 0, max: 1000 }),
      waitMs: fc.integer({ min: 0, max: 3000 }),
    })
    fc.assert(
      fc.property(fc.array(change), (changes) => {
        using context = closing(meterAt())
        context.meter.begin('fetch', 5000)
        for (const { bytes, waitMs } of changes) {
          vi.advanceTimersByTime(waitMs)
          context.meter.add(bytes)
        }
        for (const progress of context.seen()) {
          expect(progress.percent).toBeGreaterThanOrEqual(0)
          expect(progress.percent).toBeLessThanOrEqual(100)
          expect(progress.ratePerSecond).toBeGreaterThanOrEqual(0)
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

function stagesOf({ seen }: ReturnType<typeof recordedStream>): string[] {
  return seen.flatMap((event) => (event.type === 'stage' ? `${event.stage} ${event.state}` : []))
}
