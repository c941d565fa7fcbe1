// SPDX-License-Identifier: Apache-2.0
// Owns how many messages of each kind a peer may send: more than any program has a reason to, and less than would
// keep the swarm's thread busy. Blocks that were asked for are not counted. Does not close the connection.
import { MESSAGE_IDS } from './messages.ts'

export interface Rate {
  readonly perSecond: number
  readonly burst: number
}

/** Each is one look at every peer, or at every request. */
const CHOKING: Rate = { perSecond: 20, burst: 200 }
/** aria2 sends one in place of twenty HAVEs: with small pieces some ten a second. */
const BITFIELDS: Rate = { perSecond: 100, burst: 200 }
/** Claims are as many as pieces that come from the origin. */
const EXTENDED: Rate = { perSecond: 10_000, burst: 20_000 }
/** Interest may change with every small piece; keep-alives, and messages that nobody knows. */
const OTHERS: Rate = { perSecond: 2000, burst: 10_000 }
/** Each piece is announced once; a bitfield sent anew may be followed by them all again. */
const HAVES_PER_PIECE = 2
/** Blocks that were asked for and no longer are; requests that are refused. */
const IN_VAIN: Rate = { perSecond: 512, burst: 8192 }

/** A keep-alive has no id. */
export const KEEP_ALIVE = -1

export class MessageRates {
  readonly #now: () => number
  readonly #allowances = new Map<number, Allowance>()
  readonly #inVain: Allowance
  readonly #others: Allowance

  /** @param now milliseconds; may start anywhere */
  constructor(pieceCount: number, now: () => number) {
    this.#now = now
    this.#inVain = new Allowance(IN_VAIN, now)
    this.#others = new Allowance(OTHERS, now)
    const haves = { ...OTHERS, burst: OTHERS.burst + HAVES_PER_PIECE * pieceCount }
    this.#allow(haves, MESSAGE_IDS.have)
    this.#allow(CHOKING, MESSAGE_IDS.choke, MESSAGE_IDS.unchoke)
    this.#allow(BITFIELDS, MESSAGE_IDS.bitfield)
    this.#allow(EXTENDED, MESSAGE_IDS.extended)
  }

  /** One more message: false if it is one too many. @param id or KEEP_ALIVE */
  admits(id: number): boolean {
    // requests are answered at the pace of the connection, and no more than a queue of them is kept
    if (id === MESSAGE_IDS.piece || id === MESSAGE_IDS.request) return true
    return (this.#allowances.get(id) ?? this.#others).take()
  }

  /** One more message that came to nothing: false if it is one too many. */
  admitsInVain(): boolean {
    return this.#inVain.take()
  }

  #allow(rate: Rate, ...ids: readonly number[]): void {
    const allowance = new Allowance(rate, this.#now)
    for (const id of ids) this.#allowances.set(id, allowance)
  }
}

/** Looks at the clock only when what there was is used up. */
export class Allowance {
  readonly #rate: Rate
  readonly #now: () => number
  #left: number
  #refilledAt: number

  constructor(rate: Rate, now: () => number) {
    this.#rate = rate
    this.#now = now
    this.#left = rate.burst
    this.#refilledAt = now()
  }

  take(): boolean {
    if (!this.hasOne()) return false
    this.#left -= 1
    return true
  }

  /** True if the next take succeeds. */
  hasOne(): boolean {
    if (this.#left < 1) this.#refill()
    return this.#left >= 1
  }

  #refill(): void {
    const { perSecond, burst } = this.#rate
    const now = this.#now()
    const earned = (Math.max(0, now - this.#refilledAt) * perSecond) / 1000
    // parts of one are kept, or who asks often would never get one
    this.#left = Math.min(burst, this.#left + earned)
    this.#refilledAt = now
  }
}
