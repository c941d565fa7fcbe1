// SPDX-License-Identifier: Apache-2.0
// Owns what tests need of the event stream: one that remembers what it was told, and events as properties
// are checked with. Does not fake the stream.
import fc from 'fast-check'
import type { AgentEvent, NewEvent, Progress } from '../../agent/core/events.ts'
import { createEventStream, type EventStream } from '../../agent/telemetry/event-stream.ts'

export interface RecordedStream extends EventStream {
  /** Everything published so far, as readers have it. */
  readonly seen: readonly AgentEvent[]
  /** The figures among it. */
  progress(): Progress[]
}

/** A real stream whose clock stands still, and all that came over it. */
export function recordedStream(): RecordedStream {
  const stream = createEventStream({ now: () => 1_700_000_000_000 })
  const seen: AgentEvent[] = []
  stream.subscribe((event) => void seen.push(event))
  return {
    ...stream,
    seen,
    progress: () => seen.flatMap((event) => (event.type === 'progress' ? event.progress : [])),
  }
}

/** A stream of which one reader hears the figures, as they come. */
export function progressTo(onProgress: (progress: Progress) => void): EventStream {
  const stream = createEventStream({ now: () => Date.now() })
  stream.subscribe((event) => {
    if (event.type === 'progress') onProgress(event.progress)
  })
  return stream
}

/** Figures in the middle of an image write. */
export function progressOf(part: Partial<Progress> = {}): Progress {
  return {
    step: 'fetch',
    subject: null,
    unit: 'bytes',
    done: 1,
    total: 2,
    percent: 50,
    ratePerSecond: 1,
    etaSeconds: 1,
    source: 'http',
    bytes: { origin: 1, peers: 0, file: 0 },
    uploadedBytes: 0,
    peers: 0,
    ...part,
  }
}

const error = { type: 'SwarmError', code: 500, message: 'Error', details: 'no peers' }
const words = fc.constantFrom('a', 'b', 'write image')
const bytes = fc.nat(1_000_000)
const fields = fc.dictionary(words, fc.oneof(fc.string(), fc.integer(), fc.boolean()))

const torrent = {
  type: 'torrent',
  infoHash: 'ab'.repeat(20),
  state: 'fetching',
  peers: 1,
  asked: 1,
  served: 0,
  peerList: [],
  trackers: [],
  webseeds: [],
  originReason: null,
  pieces: { total: 2, done: 1, bytes: 16_384, map: '+0' },
  badPieces: { origin: 0, peers: 0 },
  bytes: { origin: 1, peers: 2, uploaded: 3, duplicate: 0 },
  rates: { origin: 1, peers: 2, uploaded: 3 },
} as const satisfies NewEvent

/** What is told of a torrent that is fetched. */
export function torrentNews(part: Partial<Extract<NewEvent, { type: 'torrent' }>> = {}): NewEvent {
  return { ...torrent, ...part }
}

const news: fc.Arbitrary<NewEvent> = fc.oneof(
  fc
    .constantFrom('serving' as const, 'rescued' as const)
    .map((phase): NewEvent => ({ type: 'phase', phase })),
  fc.constant<NewEvent>({ type: 'plan', stages: ['fetch', 'read-back', 'commit'] }),
  words.map((nodeName): NewEvent => ({ type: 'machine', facts: { nodeName } })),
  fc.constantFrom('answered' as const, 'failed' as const).map(
    (result): NewEvent => ({
      type: 'ironic',
      call: 'heartbeat',
      result,
      reason: null,
      nextSeconds: 1,
    }),
  ),
  fc
    .constantFrom('fetching' as const, 'left' as const)
    .map((state): NewEvent => torrentNews({ state })),
  fields.map((facts): NewEvent => ({ type: 'operation', state: 'began', fields: facts })),
  fields.map(
    (facts): NewEvent => ({
      type: 'operation',
      state: 'ended',
      result: 'SUCCESS',
      durationMs: 1,
      fields: facts,
    }),
  ),
  fc
    .record({
      commandId: fc.constantFrom('1', '2', '3'),
      status: fc.constantFrom('RUNNING' as const, 'SUCCEEDED' as const, 'FAILED' as const),
    })
    .map((command): NewEvent => ({ type: 'command', name: 'go', error: null, ...command })),
  fc
    .record({
      stage: fc.constantFrom('fetch' as const, 'erase' as const),
      state: fc.constantFrom('began' as const, 'ended' as const),
    })
    .map((stage): NewEvent => ({ type: 'stage', ...stage })),
  bytes.map((done): NewEvent => ({ type: 'progress', progress: progressOf({ done }) })),
  fc
    .array(fc.record({ array: words, action: words, done: bytes, total: bytes }), { maxLength: 3 })
    .map((arrays): NewEvent => {
      const rest = { unit: 'bytes', percent: 0, ratePerSecond: 0, etaSeconds: null } as const
      const syncing = arrays.map(({ array, action, done, total }) => {
        return { array, action, figures: { ...rest, done, total } }
      })
      return { type: 'arrays', syncing }
    }),
  bytes.map((peers): NewEvent => ({ type: 'swarm', peers, downloadedBytes: 0, uploadedBytes: 0 })),
  fc
    .record({
      tracker: words,
      state: fc.constantFrom('failing' as const, 'answering' as const, 'left' as const),
    })
    .map((change): NewEvent => ({ type: 'tracker', reason: null, fields: {}, ...change })),
  fields.map(
    (facts): NewEvent => ({ type: 'warning', message: 'no', fields: facts, error, err: error }),
  ),
)

/** Any event of the vocabulary, with and without a place. */
export const newEvents: fc.Arbitrary<NewEvent> = fc
  .tuple(news, fc.option(words, { nil: undefined }))
  .map(([event, operation]) => (operation === undefined ? event : { ...event, operation }))
