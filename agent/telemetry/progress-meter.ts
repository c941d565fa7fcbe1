// SPDX-License-Identifier: Apache-2.0
// Owns the figures of a piece of work that runs: how much is done, bytes by source, rate over the last seconds, ETA.
// Publishes them at a bounded pace. Does not print (console.ts) and does not know sources or disks.
import type {
  BytesBySource,
  EventPublisher,
  Figures,
  Progress,
  Stage,
  Unit,
} from '../core/events.ts'

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

export interface StepOptions {
  /** There already, and nothing of the rate; 0 unless given. */
  readonly done?: number
  /** `bytes` unless given. */
  readonly unit?: Unit
  readonly subject?: string
}

export interface ProgressMeter extends Disposable {
  /** Begins a step; always publishes. @param total 0 where nobody knows */
  begin(step: Progress['step'], total: number, options?: StepOptions): void
  /** The next source takes over within a step; always publishes. */
  useSource(source: ProgressSource): void
  /** The step goes on with something else; always publishes. */
  turnTo(subject: string): void
  /** So much more is done; bytes `from` somewhere count for their source too. Publishes at most every intervalMs. */
  add(amount: number, from?: keyof BytesBySource): void
  /** So much is done in all: never less than before, nor more than there is. Publishes at most every intervalMs. */
  reach(done: number): void
  snapshot(): Progress
}

interface Sample {
  readonly atMs: number
  readonly done: number
}

/**
 * The meter of one piece of work. A timer of one second keeps the rate honest while nothing arrives; dispose
 * of the meter to stop it and to end the stage.
 */
export function createProgressMeter(options: ProgressMeterOptions): ProgressMeter {
  const { now, events, windowMs = 5000, intervalMs = 500 } = options
  const bytes: BytesBySource = { origin: 0, peers: 0, file: 0 }
  const publishSwarm = createSwarmNews(events)
  let step: Progress['step'] = 'prepare'
  let stage: Stage | undefined
  let source: ProgressSource | undefined
  let subject: string | null = null
  let unit: Unit = 'bytes'
  let [total, done] = [0, 0]
  let emittedAtMs = Number.NEGATIVE_INFINITY
  let samples: Sample[] = [{ atMs: now(), done: 0 }]

  /** Bounded whatever the number of extents: samples closer than a tenth of the window are merged. */
  const sample = () => {
    // things are few, and each takes its own time
    if (unit === 'items') return
    const atMs = now()
    if (atMs - (samples.at(-1)?.atMs ?? 0) >= windowMs / 10) samples.push({ atMs, done })
    // one sample older than the window stays: the window begins there
    while ((samples[1]?.atMs ?? Number.POSITIVE_INFINITY) <= atMs - windowMs) samples.shift()
  }
  const rate = (): number => {
    const first = samples[0] as Sample
    const elapsedMs = now() - first.atMs
    return elapsedMs <= 0 ? 0 : Math.max(0, ((done - first.done) / elapsedMs) * 1000)
  }
  const snapshot = (): Progress => {
    return {
      step,
      subject,
      ...figuresOf({ unit, done, total, ratePerSecond: rate() }),
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
    // before the first step there is nothing to tell
    if (stage !== undefined && now() - emittedAtMs >= intervalMs) emit()
  }
  const move = (to: number) => {
    done = to
    sample()
    emitIfDue()
  }
  const timer = setInterval(() => {
    sample()
    emitIfDue()
  }, 1000)
  timer.unref()

  return {
    begin: (nextStep, all, options = {}) => {
      enter(nextStep === 'done' ? undefined : nextStep)
      step = nextStep
      subject = options.subject ?? null
      unit = options.unit ?? 'bytes'
      total = all
      done = options.done ?? 0
      samples = [{ atMs: now(), done }]
      emit()
    },
    useSource: (next) => {
      source = next
      emit()
    },
    turnTo: (next) => {
      subject = next
      emit()
    },
    add: (amount, from) => {
      if (from) bytes[from] += amount
      move(done + amount)
    },
    reach: (to) => move(Math.max(done, Math.min(to, total))),
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

/** The figures of so much, at that rate. */
export function figuresOf({
  unit,
  done,
  total,
  ratePerSecond,
}: Pick<Figures, 'unit' | 'done' | 'total' | 'ratePerSecond'>): Figures {
  // things a second are less than one
  const rate =
    unit === 'bytes' ? Math.round(ratePerSecond) : Math.round(ratePerSecond * 1000) / 1000
  return {
    unit,
    done,
    total,
    percent: percentOf(done, total),
    ratePerSecond: rate,
    etaSeconds: etaOf(total - done, rate),
  }
}

/** One decimal; 100 only when all is there. */
function percentOf(done: number, total: number): number {
  if (total <= 0) return 0
  return Math.min(100, Math.floor((done / total) * 1000) / 10)
}

function etaOf(left: number, ratePerSecond: number): number | null {
  if (left <= 0) return 0
  return ratePerSecond > 0 ? Math.round(left / ratePerSecond) : null
}
