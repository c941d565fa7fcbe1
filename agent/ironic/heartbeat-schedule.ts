// SPDX-License-Identifier: Apache-2.0
// Owns when the next heartbeat is due (contract 3.1 to 3.3). Does not wait and does not send it (heartbeat.ts).
import { type Random, uniform } from '../core/backoff.ts'

const SPACING_MS = 5000
/** Part of heartbeat_timeout after which the next one is due. */
const SHARE = { min: 0.3, max: 0.6 } as const
/** The like of the interval at which the status is told. */
const STATUS_SHARE = { min: 0.8, max: 1.2 } as const
const AFTER_FAILURE_MS = { min: 5000, max: 10_000 } as const

export interface ScheduleOptions {
  readonly heartbeatTimeoutSeconds: number
  /** While it works, heartbeats come at least every `intervalMs`. */
  readonly status?: { isWorking(): boolean; readonly intervalMs: number } | undefined
  readonly random: Random
}

/** All times are monotonic ms. The first one is due at once. */
export class HeartbeatSchedule {
  readonly #options: ScheduleOptions
  #lastAt = Number.NEGATIVE_INFINITY
  #intervalMs = 0
  /** Jitter keeps nodes that began together apart. */
  #statusMs = Number.POSITIVE_INFINITY
  #wishes = 0
  #answeredWishes = 0

  constructor(options: ScheduleOptions) {
    this.#options = options
  }

  /** How many there have been: a heartbeat answers only those that came before it was sent. */
  get wishes(): number {
    return this.#wishes
  }

  /** The next one is to come as soon as 5 s have passed since the last one. */
  wish(): void {
    this.#wishes += 1
  }

  dueAt(): number {
    const { status } = this.#options
    const isSooner = status?.isWorking() && this.#statusMs < this.#intervalMs
    const regular =
      this.#lastAt + (isSooner ? Math.max(this.#statusMs, SPACING_MS) : this.#intervalMs)
    const isWished = this.#wishes > this.#answeredWishes
    return isWished ? Math.min(this.#lastAt + SPACING_MS, regular) : regular
  }

  /** @param wishes before it was sent. Returns how long the next one has time, ms */
  answered(wishes: number): number {
    this.#answeredWishes = wishes
    const timeoutMs = this.#options.heartbeatTimeoutSeconds * 1000
    return this.#pause(SHARE.min * timeoutMs, SHARE.max * timeoutMs)
  }

  /** Returns how long the next one has time, ms. */
  failed(): number {
    return this.#pause(AFTER_FAILURE_MS.min, AFTER_FAILURE_MS.max)
  }

  /** It is over, either way: the next one is counted from now. */
  ended(now: number): void {
    const { status, random } = this.#options
    if (status) {
      this.#statusMs = status.intervalMs * uniform(random, STATUS_SHARE.min, STATUS_SHARE.max)
    }
    this.#lastAt = now
  }

  #pause(minMs: number, maxMs: number): number {
    this.#intervalMs = uniform(this.#options.random, minMs, maxMs)
    return this.#intervalMs
  }
}
