import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { INITIAL_STATE, nextState } from '../../../agent/core/agent-state.ts'
import { AgentError } from '../../../agent/core/errors.ts'
import { EVENT_TABLE } from '../../../agent/core/event-table.ts'
import type { AgentEvent, NewEvent } from '../../../agent/core/events.ts'
import {
  createEventStream,
  type EventStreamOptions,
} from '../../../agent/telemetry/event-stream.ts'
import { warn } from '../../../agent/telemetry/operation.ts'
import { newEvents, progressOf, recordedStream } from '../../support/event-lab.ts'

const stage: NewEvent = { type: 'stage', stage: 'fetch', state: 'began' }
const progress: NewEvent = { type: 'progress', progress: progressOf() }

/** A stream that has published `news`, and what a reader heard from the first on. */
function streamOf(news: readonly NewEvent[], options: Partial<EventStreamOptions> = {}) {
  const stream = createEventStream({ now: () => 7, ...options })
  const heard: AgentEvent[] = []
  stream.subscribe((event) => void heard.push(event))
  for (const event of news) stream.publish(event)
  return { stream, heard }
}

const isHistory = ({ type }: AgentEvent) => EVENT_TABLE[type].keeps === 'history'
const idsOf = (events: readonly AgentEvent[]) => events.map(({ id }) => id)

describe('ids', () => {
  test('begin at 1 and increase by one, whatever is published', () => {
    fc.assert(
      fc.property(fc.array(newEvents), (news) => {
        const { heard } = streamOf(news)
        expect(idsOf(heard)).toEqual(news.map((_, i) => i + 1))
        expect(heard.every(({ at }) => at === 7)).toBe(true)
      }),
    )
  })
})

describe('snapshot', () => {
  test('is the fold of all events', () => {
    fc.assert(
      fc.property(fc.array(newEvents), (news) => {
        const { stream, heard } = streamOf(news)
        expect(stream.snapshot()).toEqual(heard.reduce(nextState, INITIAL_STATE))
      }),
    )
  })

  test('is what a reader comes to who replays a complete history, figures of old left out', () => {
    fc.assert(
      fc.property(fc.array(newEvents), (news) => {
        const { stream } = streamOf(news)
        const { events, isComplete } = stream.since(0)
        expect(isComplete).toBe(true)
        expect(events.reduce(nextState, INITIAL_STATE)).toEqual(stream.snapshot())
      }),
    )
  })

  test('of before is left as it was by events of after', () => {
    const { stream } = streamOf([stage])
    const before = stream.snapshot()
    stream.publish({ type: 'stage', stage: 'fetch', state: 'ended' })
    expect(before.stage).toBe('fetch')
    expect(stream.snapshot().stage).toBeNull()
  })
})

describe('since', () => {
  test('gives all of the history after an id, and of figures the newest, in order', () => {
    fc.assert(
      fc.property(fc.array(newEvents), fc.nat(40), (news, id) => {
        const { stream, heard } = streamOf(news)
        fc.pre(id <= news.length)
        const { events, isComplete } = stream.since(id)
        const newest = (event: AgentEvent) => heard.findLast(({ type }) => type === event.type)
        const expected = heard.filter(
          (event) => event.id > id && (isHistory(event) || newest(event) === event),
        )
        expect(events).toEqual(expected)
        expect(isComplete).toBe(true)
      }),
    )
  })

  test('says so when an event after the id has been let go, and only then', () => {
    fc.assert(
      fc.property(
        fc.array(newEvents, { maxLength: 40 }),
        fc.nat(40),
        fc.integer({ min: 1, max: 10 }),
        (news, id, maxEvents) => {
          fc.pre(id <= news.length)
          const { stream, heard } = streamOf(news, { maxEvents })
          const after = heard.filter((event) => isHistory(event) && event.id > id)
          const { events, isComplete } = stream.since(id)
          expect(isComplete).toBe(after.length <= maxEvents)
          expect(events.filter(isHistory)).toEqual(after.slice(-maxEvents))
        },
      ),
    )
  })

  test.each([3, 1e9, Number.NaN, -1])(
    'an id of another process (%s) gets all that is kept, as incomplete',
    (id) => {
      const { stream } = streamOf([stage, progress])
      expect(stream.since(id)).toMatchObject({
        events: [{ id: 1 }, { id: 2 }],
        isComplete: false,
      })
    },
  )

  test('the last id gets nothing, and that is complete', () => {
    expect(streamOf([stage, progress]).stream.since(2)).toEqual({ events: [], isComplete: true })
    expect(streamOf([]).stream.since(0)).toEqual({ events: [], isComplete: true })
  })
})

describe('memory', () => {
  test('is bounded by count: a million figures push no event out, a million events only older ones', () => {
    const { stream } = streamOf([stage])
    for (let i = 0; i < 2000; i++) stream.publish(progress)
    expect(idsOf(stream.since(0).events)).toEqual([1, 2001])
    for (let i = 0; i < 2000; i++) stream.publish(stage)
    expect(stream.since(0).events.filter(isHistory)).toHaveLength(500)
  })

  test('is bounded by size, whatever the events hold', () => {
    const maxChars = 4000
    const facts = fc.dictionary(fc.string(), fc.anything(), { maxKeys: 20 })
    fc.assert(
      fc.property(fc.array(facts, { maxLength: 20 }), (all) => {
        const news = all.map((fields): NewEvent => ({ type: 'operation', state: 'began', fields }))
        const { stream, heard } = streamOf(news, { maxChars })
        expect(heard).toHaveLength(news.length)
        expect(JSON.stringify(stream.since(0).events).length).toBeLessThan(maxChars + 100)
      }),
    )
  })

  test('of one event is bounded too, and it arrives', () => {
    const { stream, heard } = streamOf([])
    const long = 'so many words '.repeat(100_000)
    const tree = (depth: number): unknown =>
      depth === 0 ? long : Array.from({ length: 20 }, () => tree(depth - 1))
    stream.publish({ type: 'operation', state: 'began', fields: { long, tree: tree(4) } })
    const error = new AgentError('ProcessError', 'y'.repeat(10_000_000))
    warn(stream, 'no', { text: 'z'.repeat(1e7) }, error)
    expect(heard.map(({ type }) => type)).toEqual(['operation', 'warning'])
    for (const event of heard) expect(JSON.stringify(event).length).toBeLessThan(140_000)
    expect(heard[1]).toMatchObject({ error: { type: 'ProcessError', code: 500 } })
  })
})

describe('subscribers', () => {
  test('hear what comes after they subscribed and before they were disposed of', () => {
    const stream = createEventStream({ now: () => 0 })
    const heard: number[] = []
    stream.publish(stage)
    const subscription = stream.subscribe(({ id }) => void heard.push(id))
    stream.publish(stage)
    subscription[Symbol.dispose]()
    stream.publish(stage)
    expect(heard).toEqual([2])
  })

  test('hear nothing of an event that another one answered by sending them away', () => {
    const stream = createEventStream({ now: () => 0 })
    const heard: number[] = []
    stream.subscribe(() => last[Symbol.dispose]())
    const last = stream.subscribe(({ id }) => void heard.push(id))
    stream.publish(stage)
    expect(heard).toEqual([])
  })

  test('one function may subscribe twice, and each subscription ends by itself', () => {
    const stream = createEventStream({ now: () => 0 })
    const heard: number[] = []
    const on = ({ id }: AgentEvent) => void heard.push(id)
    const first = stream.subscribe(on)
    stream.subscribe(on)
    stream.publish(stage)
    first[Symbol.dispose]()
    stream.publish(stage)
    expect(heard).toEqual([1, 1, 2])
  })

  test('one that throws harms neither the publisher nor the others, and is a warning once', () => {
    const stream = createEventStream({ now: () => 0 })
    stream.subscribe(() => {
      throw new Error('screen is gone')
    })
    const heard: AgentEvent[] = []
    stream.subscribe((event) => void heard.push(event))
    for (let i = 0; i < 3; i++) stream.publish(stage)
    expect(heard.map(({ type }) => type)).toEqual(['stage', 'warning', 'stage', 'stage'])
    expect(heard[1]).toMatchObject({
      message: 'subscriber of events failed',
      err: { message: 'screen is gone' },
    })
  })

  test('one that fails later, as an async function does, harms nobody either', async () => {
    const stream = recordedStream()
    stream.subscribe(async () => {
      await Promise.reject(new Error('socket is gone'))
    })
    stream.publish(stage)
    await expect.poll(() => stream.snapshot().lastWarning?.err['message']).toBe('socket is gone')
  })

  test('one that is slow misses nothing: it asks from the last id it has dealt with', async () => {
    const stream = createEventStream({ now: () => 0 })
    const dealtWith: number[] = []
    let lastId = 0
    stream.subscribe(async () => {
      await Promise.resolve()
      for (const { id } of stream.since(lastId).events) {
        dealtWith.push(id)
        lastId = id
      }
    })
    for (let i = 0; i < 50; i++) stream.publish(stage)
    await expect.poll(() => dealtWith.length).toBe(50)
    expect(dealtWith).toEqual(Array.from({ length: 50 }, (_, i) => i + 1))
  })

  test('that publish or leave while they hear do not change what the others hear, or in which order', () => {
    const stream = createEventStream({ now: () => 0 })
    const heard: number[] = []
    const first = stream.subscribe(({ id }) => {
      if (id === 1) stream.publish(stage)
      else first[Symbol.dispose]()
    })
    stream.subscribe(({ id }) => void heard.push(id))
    stream.publish(stage)
    stream.publish(stage)
    expect(heard).toEqual([1, 2, 3])
  })

  test('one that answers each event with another does not keep the publisher for ever', () => {
    const stream = createEventStream({ now: () => 0 })
    const heard: number[] = []
    stream.subscribe(() => stream.publish(stage))
    stream.subscribe(({ id }) => void heard.push(id))
    stream.publish(stage)
    expect(heard.length).toBeGreaterThan(1)
    expect(heard.length).toBeLessThan(200)
  })

  test('cannot change what the others get', () => {
    const stream = createEventStream({ now: () => 0 })
    const heard: AgentEvent[] = []
    stream.subscribe((event) => {
      Object.assign(event.type === 'progress' ? event.progress.bytes : {}, { origin: 99 })
    })
    stream.subscribe((event) => void heard.push(event))
    stream.publish(progress)
    expect(heard[0]).toMatchObject({ type: 'progress', progress: { bytes: { origin: 1 } } })
  })

  test('two streams know nothing of each other', () => {
    const [one, other] = [recordedStream(), recordedStream()]
    one.publish(stage)
    expect(other.seen).toEqual([])
    expect(other.snapshot()).toEqual(INITIAL_STATE)
  })
})
