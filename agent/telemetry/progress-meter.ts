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

/**
 * The meter of one piece of work. A timer of one second keeps the rate honest while nothing arrives; dispose
 * of the meter to stop it and to end the stage.
 */
export function createProgressMeter(options: ProgressMeterOptions): ProgressMeter {
  return new Meter(options)
}

class Meter implements ProgressMeter {
  readonly #now: () => number
  readonly #events: EventPublisher
  readonly #intervalMs: number
  readonly #rate: RecentRate
  readonly #publishSwarm: (progress: Progress) => void
  readonly #timer: NodeJS.Timeout
  readonly #bytes: BytesBySource = { origin: 0, peers: 0, file: 0 }
  #step: Progress['step'] = 'prepare'
  #stage: Stage | undefined
  #source: ProgressSource | undefined
  #subject: string | null = null
  #unit: Unit = 'bytes'
  #total = 0
  #done = 0
  #emittedAtMs = Number.NEGATIVE_INFINITY

  constructor({ now, events, windowMs = 5000, intervalMs = 500 }: ProgressMeterOptions) {
    this.#now = now
    this.#events = events
    this.#intervalMs = intervalMs
    this.#rate = new RecentRate(now, windowMs)
    this.#publishSwarm = createSwarmNews(events)
    this.#timer = setInterval(() => this.#move(this.#done), 1000)
    this.#timer.unref()
  }

  begin(step: Progress['step'], total: number, options: StepOptions = {}): void {
    this.#enter(step === 'done' ? undefined : step)
    this.#step = step
    this.#subject = options.subject ?? null
    this.#unit = options.unit ?? 'bytes'
    this.#total = total
    this.#done = options.done ?? 0
    this.#rate.begin(this.#done)
    this.#emit()
  }

  useSource(source: ProgressSource): void {
    this.#source = source
    this.#emit()
  }

  turnTo(subject: string): void {
    this.#subject = subject
    this.#emit()
  }

  add(amount: number, from?: keyof BytesBySource): void {
    if (from) this.#bytes[from] += amount
    this.#move(this.#done + amount)
  }

  reach(done: number): void {
    this.#move(Math.max(this.#done, Math.min(done, this.#total)))
  }

  snapshot(): Progress {
    const [unit, done, total] = [this.#unit, this.#done, this.#total]
    const ratePerSecond = this.#rate.perSecond(done)
    const stats = this.#source?.stats()
    return {
      step: this.#step,
      subject: this.#subject,
      ...figuresOf({ unit, done, total, ratePerSecond }),
      source: this.#source?.name ?? null,
      bytes: { ...this.#bytes },
      uploadedBytes: stats?.uploadedBytes ?? 0,
      peers: stats?.peers ?? 0,
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    this.#enter(undefined)
  }

  #move(done: number): void {
    this.#done = done
    // things are few, and each takes its own time
    if (this.#unit !== 'items') this.#rate.note(done)
    // before the first step there is nothing to tell
    if (this.#stage === undefined) return
    if (this.#now() - this.#emittedAtMs >= this.#intervalMs) this.#emit()
  }

  #emit(): void {
    this.#emittedAtMs = this.#now()
    const progress = this.snapshot()
    this.#events.publish({ type: 'progress', progress })
    this.#publishSwarm(progress)
  }

  #enter(next: Stage | undefined): void {
    if (this.#stage) this.#events.publish({ type: 'stage', stage: this.#stage, state: 'ended' })
    this.#stage = next
    if (next) this.#events.publish({ type: 'stage', stage: next, state: 'began' })
  }
}

interface Sample {
  readonly atMs: number
  readonly done: number
}

/** How fast it went lately. */
class RecentRate {
  readonly #now: () => number
  readonly #windowMs: number
  #samples: Sample[]

  constructor(now: () => number, windowMs: number) {
    this.#now = now
    this.#windowMs = windowMs
    this.#samples = [{ atMs: now(), done: 0 }]
  }

  begin(done: number): void {
    this.#samples = [{ atMs: this.#now(), done }]
  }

  /** Bounded whatever the number of extents: samples closer than a tenth of the window are merged. */
  note(done: number): void {
    const atMs = this.#now()
    const samples = this.#samples
    if (atMs - (samples.at(-1)?.atMs ?? 0) >= this.#windowMs / 10) samples.push({ atMs, done })
    // one sample older than the window stays: the window begins there
    while ((samples[1]?.atMs ?? Number.POSITIVE_INFINITY) <= atMs - this.#windowMs) samples.shift()
  }

  /** The mean of the window. */
  perSecond(done: number): number {
    const first = this.#samples[0] as Sample
    const elapsedMs = this.#now() - first.atMs
    return elapsedMs <= 0 ? 0 : Math.max(0, ((done - first.done) / elapsedMs) * 1000)
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
