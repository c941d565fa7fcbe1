// SPDX-License-Identifier: Apache-2.0
// Owns what is counted of the stream of events, each counter with the events that it reads. Does not know what is
// true now; metrics.ts reads that from the snapshot.
import type { AgentEvent } from '../../core/events.ts'
import type { EventReader } from '../event-stream.ts'
import type { Sample } from './exposition.ts'
import { createCounter, createGrowth, createHistogram } from './figures.ts'

/** Commands take from milliseconds to hours. */
const BOUNDS = [0.1, 1, 10, 60, 300, 900, 3600, 14_400]
const SOURCES = ['origin', 'peers', 'file'] as const
const KINDS = ['origin', 'peers'] as const
const RESULTS = [{ result: 'answered' }, { result: 'failed' }]

interface Counted {
  count(event: AgentEvent): void
  samples(): Sample[]
}

/** Counters start at 0 where their labels are known, so that a rate is seen from the first event on. */
export function countEvents(
  events: Pick<EventReader, 'subscribe'>,
): Disposable & Pick<Counted, 'samples'> {
  const all = [imageBytes(), stages(), torrents(), calls(), warnings(), commands()]
  const subscription = events.subscribe((event) => {
    for (const each of all) each.count(event)
  })
  return {
    samples: () => all.flatMap((each) => each.samples()),
    [Symbol.dispose]: () => subscription[Symbol.dispose](),
  }
}

function imageBytes(): Counted {
  const bySource = SOURCES.map((source) => ({ source }))
  const written = createCounter('ipa_image_bytes_written_total', bySource)
  const growth = createGrowth()
  return {
    count: (event) => {
      if (event.type !== 'progress') return
      const { bytes, step } = event.progress
      for (const source of SOURCES) {
        written.add({ source }, growth(source, bytes[source]))
        // the next write begins at 0, and may be further than this one before it is heard of
        if (step === 'done') growth(source, 0)
      }
    },
    samples: written.samples,
  }
}

function stages(): Counted {
  const seconds = createCounter('ipa_stage_seconds_total')
  let beganAt = 0
  return {
    count: (event) => {
      if (event.type !== 'stage') return
      const now = performance.now()
      if (event.state === 'ended') seconds.add({ stage: event.stage }, (now - beganAt) / 1000)
      beganAt = now
    },
    samples: seconds.samples,
  }
}

function torrents(): Counted {
  const received = createCounter('ipa_swarm_download_bytes_total', [{}])
  const uploaded = createCounter('ipa_swarm_upload_bytes_total', [{}])
  const ofKinds = KINDS.map((kind) => ({ peer_kind: kind }))
  const failed = createCounter('ipa_pieces_failed_total', ofKinds)
  let growth = createGrowth()
  return {
    count: (event) => {
      if (event.type !== 'torrent') return
      const { bytes, badPieces } = event
      received.add({}, growth('received', bytes.peers))
      uploaded.add({}, growth('uploaded', bytes.uploaded))
      for (const kind of KINDS) failed.add({ peer_kind: kind }, growth(kind, badPieces[kind]))
      if (event.state === 'left') growth = createGrowth()
    },
    samples: () => [received, uploaded, failed].flatMap((each) => each.samples()),
  }
}

function calls(): Counted {
  const heartbeats = createCounter('ipa_heartbeat_total', RESULTS)
  const lookups = createCounter('ipa_lookup_total', RESULTS)
  return {
    count: (event) => {
      if (event.type !== 'ironic' || event.call === 'inspection') return
      const counter = event.call === 'heartbeat' ? heartbeats : lookups
      counter.add({ result: event.result })
    },
    samples: () => [...heartbeats.samples(), ...lookups.samples()],
  }
}

function warnings(): Counted {
  const counter = createCounter('ipa_warnings_total', [{}])
  return {
    count: (event) => {
      if (event.type === 'warning') counter.add({})
    },
    samples: counter.samples,
  }
}

function commands(): Counted {
  const durations = createHistogram('ipa_command_duration_seconds', BOUNDS)
  return {
    count: (event) => {
      if (event.type !== 'command' || event.durationMs === undefined) return
      durations.observe({ command: event.name, status: event.status }, event.durationMs / 1000)
    },
    samples: durations.samples,
  }
}
