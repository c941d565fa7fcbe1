// SPDX-License-Identifier: Apache-2.0
// Owns what a seed says of itself while it runs: port, trackers, peers, rate. Does not seed and does not write.
import type { AgentEvent } from '../../core/events.ts'
import { formatBytes, formatCount, formatDuration, formatRate } from '../../core/units.ts'
import type { EventReader } from '../../telemetry/event-stream.ts'

/** The figures of a seed; bytes, seconds, bytes per second. */
export interface SeedStatus {
  /** Null until it listens. */
  readonly port: number | null
  readonly trackers: number
  readonly failing_trackers: number
  readonly peers: number
  readonly rate: number
  readonly uploaded_bytes: number
  readonly seconds: number
}

/** What is asked of a seeder. */
interface Seeding {
  readonly port: number | undefined
  stats(): { readonly peers: number; readonly uploadedBytes: number }
}

export interface StatusMeter extends Disposable {
  /** The figures now; the rate is the mean since at least 5 s, where there are so many. */
  read(): SeedStatus
}

const RATE_WINDOW_MS = 5000
/** Samples are asked for about once a second. */
const MOST_SAMPLES = 10

/** Listens for trackers until disposed of. @param trackers how many are asked */
export function createStatusMeter(
  seeder: Seeding,
  events: Pick<EventReader, 'subscribe'>,
  { trackers, now }: { readonly trackers: number; readonly now: () => number },
): StatusMeter {
  const failing = new Set<string>()
  const startedAt = now()
  let samples = [{ at: startedAt, bytes: 0 }]
  const noteTracker = (event: AgentEvent) => {
    if (event.type !== 'tracker') return
    if (event.state === 'failing') failing.add(event.tracker)
    else failing.delete(event.tracker)
  }
  const subscription = events.subscribe(noteTracker)
  return {
    read: () => {
      const { peers, uploadedBytes } = seeder.stats()
      const at = now()
      samples = [...samples, { at, bytes: uploadedBytes }].slice(-MOST_SAMPLES)
      while (samples.length > 2 && at - (samples[1]?.at ?? at) >= RATE_WINDOW_MS) samples.shift()
      const [first = { at, bytes: 0 }] = samples
      const elapsed = Math.max(1, at - first.at)
      return {
        port: seeder.port ?? null,
        trackers,
        failing_trackers: failing.size,
        peers,
        rate: Math.round(((uploadedBytes - first.bytes) / elapsed) * 1000),
        uploaded_bytes: uploadedBytes,
        seconds: Math.round((at - startedAt) / 1000),
      }
    },
    [Symbol.dispose]: () => subscription[Symbol.dispose](),
  }
}

/** `port 6881, 1 of 2 trackers answers, 3 peers, 12.3 MiB/s, 1.2 GiB uploaded`: what matters most first, it may be cut. */
export function statusLine(status: SeedStatus): string {
  const { port, trackers, failing_trackers: failing, peers, rate } = status
  const answering = trackers - failing
  return [
    port === null ? 'starting' : `port ${port}`,
    failing === 0
      ? `${formatCount(trackers, 'tracker')} asked`
      : `${answering} of ${formatCount(trackers, 'tracker')} ${answering === 1 ? 'answers' : 'answer'}`,
    formatCount(peers, 'peer'),
    formatRate(rate),
    `${formatBytes(status.uploaded_bytes)} uploaded`,
  ].join(', ')
}

/** The last line of a seed that was ended. */
export function lastLine({ uploaded_bytes: bytes, seconds }: SeedStatus): string {
  return `ended after ${formatDuration(seconds)}, ${formatBytes(bytes)} uploaded`
}
