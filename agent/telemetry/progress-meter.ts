// SPDX-License-Identifier: Apache-2.0
// Owns the figures of a running image write: bytes by source, rate over the last seconds, ETA. Publishes
// them at a bounded pace. Does not print (console.ts) and does not know sources or disks.
import type { BytesBySource, EventPublisher, Progress, Stage } from '../core/events.ts'

export interface ProgressMeterOptions {
  /** Milliseconds that only go forward. */
  readonly now: () => number
  /** Hears of stages, progress and swarm. */
  readonly events: EventPublisher
  /** The rate is the mean over this long, ms; 5000 unless given. */
  readonly windowMs?: number
  /** Shortest time between two events of one step, ms; 500 unless given. */
  readonly intervalMs?: number
}

/** Who brings the bytes. */
export interface ProgressSource {
  readonly name: string
  /** Live figures; asked for each snapshot. */
  stats(): { readonly peers: number; readonly uploadedBytes: number }
}

export interface ProgressMeter extends Disposable {
  /** Begins a step; always publishes. `doneBytes` are there already and do not count for the rate. */
  begin(step: Progress['step'], totalBytes: number, doneBytes?: number): void
  /** The next source takes over within a step; always publishes. */
  useSource(source: ProgressSource): void
  /** Bytes done in this step; `from` counts them for their source too. Publishes at most every intervalMs. */
  add(bytes: number, from?: keyof BytesBySource): void
  snapshot(): Progress
}

interface Sample {
  readonly atMs: number
  readonly doneBytes: number
}

/**
 * The meter of one image write. A timer of one second keeps the rate honest while nothing arrives; dispose
 * of the meter to stop it and to end the stage.
 */
export function createProgressMeter(options: ProgressMeterOptions): ProgressMeter {
  const { now, events, windowMs = 5000, intervalMs = 500 } = options
  const bytes: BytesBySource = { origin: 0, peers: 0, file: 0 }
  const publishSwarm = createSwarmNews(events)
  let step: Progress['step'] = 'prepare'
  let stage: Stage | undefined
  let source: ProgressSource | undefined
  let [totalBytes, doneBytes] = [0, 0]
  let emittedAtMs = Number.NEGATIVE_INFINITY
  let samples: Sample[] = [{ atMs: now(), doneBytes: 0 }]

  /** Bounded whatever the number of extents: samples closer than a tenth of the window are merged. */
  const sample = () => {
    const atMs = now()
    if (atMs - (samples.at(-1)?.atMs ?? 0) >= windowMs / 10) samples.push({ atMs, doneBytes })
    // one sample older than the window stays: the window begins there
    while ((samples[1]?.atMs ?? Number.POSITIVE_INFINITY) <= atMs - windowMs) samples.shift()
  }
  const rate = (): number => {
    const first = samples[0] as Sample
    const elapsedMs = now() - first.atMs
    return elapsedMs <= 0 ? 0 : Math.max(0, ((doneBytes - first.doneBytes) / elapsedMs) * 1000)
  }
  const snapshot = (): Progress => {
    const rateBytesPerSecond = Math.round(rate())
    const leftBytes = totalBytes - doneBytes
    return {
      step,
      doneBytes,
      totalBytes,
      percent: percentOf(doneBytes, totalBytes),
      rateBytesPerSecond,
      etaSeconds: etaOf(leftBytes, rateBytesPerSecond),
      source: source?.name ?? null,
      bytes: { ...bytes },
      uploadedBytes: source?.stats().uploadedBytes ?? 0,
      peers: source?.stats().peers ?? 0,
    }
  }
  const emit = () => {
    emittedAtMs = now()
    const progress = snapshot()
    events.publish({ type: 'progress', progress })
    publishSwarm(progress)
  }
  const enter = (next: Stage | undefined) => {
    if (stage) events.publish({ type: 'stage', stage, state: 'ended' })
    stage = next
    if (stage) events.publish({ type: 'stage', stage, state: 'began' })
  }
  const emitIfDue = () => {
    if (now() - emittedAtMs >= intervalMs) emit()
  }
  const timer = setInterval(() => {
    sample()
    emitIfDue()
  }, 1000)
  timer.unref()

  return {
    begin: (nextStep, total, alreadyDone = 0) => {
      enter(nextStep === 'done' ? undefined : nextStep)
      step = nextStep
      totalBytes = total
      doneBytes = alreadyDone
      samples = [{ atMs: now(), doneBytes }]
      emit()
    },
    useSource: (next) => {
      source = next
      emit()
    },
    add: (count, from) => {
      doneBytes += count
      if (from) bytes[from] += count
      sample()
      emitIfDue()
    },
    snapshot,
    [Symbol.dispose]: () => {
      clearInterval(timer)
      enter(undefined)
    },
  }
}

/** Publishes the swarm's part of the figures when it has changed; without peers that is never. */
function createSwarmNews(events: EventPublisher): (progress: Progress) => void {
  let told = [0, 0, 0]
  return ({ peers, bytes, uploadedBytes }) => {
    const next = [peers, bytes.peers, uploadedBytes]
    if (next.every((figure, i) => figure === told[i])) return
    told = next
    events.publish({ type: 'swarm', peers, downloadedBytes: bytes.peers, uploadedBytes })
  }
}

/** One decimal; 100 only when every byte is there. */
function percentOf(doneBytes: number, totalBytes: number): number {
  if (totalBytes <= 0) return 0
  return Math.min(100, Math.floor((doneBytes / totalBytes) * 1000) / 10)
}

function etaOf(leftBytes: number, rateBytesPerSecond: number): number | null {
  if (leftBytes <= 0) return 0
  return rateBytesPerSecond > 0 ? Math.round(leftBytes / rateBytesPerSecond) : null
}
