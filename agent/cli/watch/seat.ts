// SPDX-License-Identifier: Apache-2.0
// Owns one node among those that are asked: what is known of it, and when it is asked next. Asks nobody (poller.ts).
import { type Random, uniform } from '../../core/backoff.ts'
import { answeredRow, emptyRow, type NodeRow, silentRow, type WatchedNode } from './node-row.ts'

/** One that does not answer is asked again after so long at most, with jitter. */
const LONGEST_PAUSE_MS = 20_000

/** All times are monotonic ms. */
export class Seat {
  #node: WatchedNode
  #row: NodeRow
  #askedAt = 0
  #nextAt = 0
  #silences = 0
  #isAsked = false
  #isBusy = false

  constructor(node: WatchedNode) {
    this.#node = node
    this.#row = emptyRow(node)
  }

  get node(): WatchedNode {
    return this.#node
  }

  get row(): NodeRow {
    return this.#row
  }

  get nextAt(): number {
    return this.#nextAt
  }

  /** Has an agent that has neither answered nor been silent yet. */
  get isLeftToAsk(): boolean {
    return !this.#isAsked && this.#node.url !== null
  }

  isDue(now: number): boolean {
    return !this.#isBusy && this.#nextAt <= now
  }

  /** As Ironic says it now. What the agent said is kept; one that has moved is asked at once. */
  update(node: WatchedNode, now: number): void {
    const hasMoved = this.#node.url !== node.url
    const { no_answer: silence } = this.#row
    this.#node = node
    if (node.url === null) this.#row = silentRow(this.#row, node, 'Ironic knows no agent of it')
    else if (silence !== null) this.#row = silentRow(this.#row, node, silence)
    else {
      const { provision_state, error } = node
      this.#row = { ...this.#row, provision_state, error }
    }
    if (hasMoved) this.#nextAt = now
  }

  /** It is asked from now until its answer or its silence. */
  begin(now: number): void {
    this.#isBusy = true
    this.#askedAt = now
    this.#nextAt = Number.POSITIVE_INFINITY
  }

  /** @param status of its agent @param at ms since the epoch. Throws for what is no status. */
  answered(status: unknown, at: number): void {
    this.#row = answeredRow(this.#node, status, at)
    this.#silences = 0
  }

  /** Something happened there: it is asked as soon as `intervalMs` allow, what comes in one go once. */
  hurry(now: number, intervalMs: number): void {
    this.#nextAt = Math.min(this.#nextAt, Math.max(now, this.#askedAt + intervalMs))
  }

  /** News may have come meanwhile, and make it sooner. */
  restUntil(at: number): void {
    this.#nextAt = Math.min(this.#nextAt, at)
  }

  /** It did not answer: the more often, the longer the pause. */
  silent(why: string, now: number, { random, intervalMs }: SilencePace): void {
    this.#silences += 1
    this.#row = silentRow(this.#row, this.#node, why)
    const longest = Math.min(LONGEST_PAUSE_MS, intervalMs * 2 ** Math.min(this.#silences, 10))
    this.#nextAt = now + uniform(random, longest / 2, longest)
  }

  end(): void {
    this.#isBusy = false
    this.#isAsked = true
  }
}

interface SilencePace {
  readonly random: Random
  readonly intervalMs: number
}
