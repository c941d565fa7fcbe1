// SPDX-License-Identifier: Apache-2.0
// Owns the traffic with the origin: which pieces this node fetches there, how many at a time, when to
// take over others' shares, when to give the origin up. Does not verify pieces.
import { isAgentError, messageOf } from '../../../../core/errors.ts'
import { type PieceLayout, pieceRange } from '../../torrent/piece-layout.ts'
import type { Peer } from '../peer.ts'
import type { PartialPiece } from '../pieces/partial-piece.ts'
import type { Claims } from './claims.ts'
import type { Origin } from './origin.ts'
import type { OriginShares } from './origin-shares.ts'
import type { Turns } from './turns.ts'

/** Ranges in flight: alone a node wants the full speed, in a swarm the other nodes fill the gaps. */
const RANGES_ALONE = 4
const RANGES_IN_SWARM = 2
/** Fetches that take longer share the origin with others: two at a time would only end later. */
const QUICK_FETCH_MS = 150
/** Without a share of its own a node leaves others this long to begin with theirs. */
const HELP_AFTER_MS = 400
/** Whoever found nothing to fetch looks again after this long: a look may go through all pieces. */
const LOOK_MS = 50
const MIN_BACKOFF_MS = 250
const MAX_BACKOFF_MS = 2000
/** A piece that peers have too is not waited for longer than this, or some average fetches. */
const SLOW_FETCH_MS = 3000
const SLOW_FETCH_AVERAGES = 4
/** What the origin brings at the least while nothing is known of it, bytes per second: less than a twentieth is little. */
const LEAST_ORIGIN_RATE = 1024 * 1024

export interface OriginFetcherDeps {
  readonly origin: Origin
  readonly layout: PieceLayout
  readonly shares: OriginShares
  readonly claims: Claims
  readonly turns: Turns
  readonly now: () => number
  /** Most pieces in progress from anywhere. */
  readonly maxInProgress: number
  hasPeers(): boolean
  /** Missing, not started, and no peer has it. */
  isOnlyAtOrigin(piece: number): boolean
  peersHave(piece: number): boolean
  /**
   * A missing piece to fetch although peers have it, -1 if there is none; `mayTakeOver` also takes one
   * from peers that are stuck with it.
   */
  pickRescue(mayTakeOver: boolean): number
  /** Peers bring little compared with what the origin could, bytes per second. */
  isStarving(originRate: number): boolean
  /** Reserves memory for the piece; undefined if there is none now. */
  open(piece: number): PartialPiece<Peer> | undefined
  /** Takes the filled piece; `onVerdict` is called, now or later, with whether its hash is right. */
  finish(partial: PartialPiece<Peer>, onVerdict: (isRight: boolean) => void): void
  abandon(partial: PartialPiece<Peer>): void
  mayDownload(bytes: number): boolean
  onTrouble(reason: string, isFinal: boolean): void
}

interface Fetch {
  readonly startedAt: number
  readonly controller: AbortController
}

export class OriginFetcher {
  readonly #deps: OriginFetcherDeps
  readonly #inFlight = new Map<number, Fetch>()
  readonly #helpsFrom: number
  #notBefore = Number.NEGATIVE_INFINITY
  #lookAgainAt = Number.NEGATIVE_INFINITY
  #backoffMs = 0
  #averageMs = 0
  #strikes = 0
  #isDisabled = false
  #isSizeKnown = false
  /** Since then peers bring little, and others' claims and turns keep us from the origin. */
  #heldUpSince: number | undefined

  constructor(deps: OriginFetcherDeps) {
    this.#deps = deps
    this.#helpsFrom = deps.now() + HELP_AFTER_MS
  }

  get isDisabled(): boolean {
    return this.#isDisabled
  }

  /** Starts as many fetches as there is reason for. Cheap to call. */
  pump(): void {
    while (this.#mayFetch()) {
      const piece = this.#choose()
      if (piece < 0) {
        this.#lookAgainAt = this.#deps.now() + LOOK_MS
        return
      }
      if (!this.#deps.mayDownload(this.#rangeOf(piece).length)) return
      const partial = this.#deps.open(piece)
      if (partial === undefined) return
      this.#fetch(partial).catch((error: unknown) => this.#disable(messageOf(error)))
    }
  }

  /** Call about four times a second. */
  tick(): void {
    const { turns } = this.#deps
    this.#reviewHeldUp()
    const isFirst = this.#averageMs === 0 && this.#inFlight.size > 0
    if (isFirst && !this.#isHeldUp && turns.isTooMany()) this.#abortAll()
    turns.draw(() => !this.#isDisabled && (this.#nextFree() >= 0 || this.#isStarving))
    this.#abortSlow()
    this.pump()
  }

  /** How many there are is known now: is the first fetch one too many? */
  noteSwarmSize(): void {
    if (this.#isSizeKnown) return
    this.#isSizeKnown = true
    if (this.#averageMs === 0 && this.#deps.turns.isLate()) this.#abortAll()
  }

  #abortAll(): void {
    for (const fetch of this.#inFlight.values()) fetch.controller.abort()
  }

  /** Gives pieces back that the origin is slow with and peers have. */
  #abortSlow(): void {
    const patience = Math.max(SLOW_FETCH_MS, SLOW_FETCH_AVERAGES * this.#averageMs)
    for (const [piece, fetch] of this.#inFlight) {
      const age = this.#deps.now() - fetch.startedAt
      if (age > patience && this.#deps.peersHave(piece)) fetch.controller.abort()
    }
  }

  stop(): void {
    this.#isDisabled = true
    for (const fetch of this.#inFlight.values()) fetch.controller.abort()
  }

  #mayFetch(): boolean {
    const now = this.#deps.now()
    if (this.#isDisabled || now < this.#notBefore || now < this.#lookAgainAt) return false
    if (!this.#deps.turns.isOurs && !this.#isHeldUp) return false
    return this.#inFlight.size < this.#maxRanges
  }

  get #maxRanges(): number {
    const isFirst = this.#averageMs === 0
    // N nodes that start together would else wait for the first piece N times as long
    if (isFirst) return 1
    if (!this.#deps.hasPeers()) return RANGES_ALONE
    // peers must always find room for a piece of theirs
    const room = Math.max(1, this.#deps.maxInProgress - 1)
    return Math.min(this.#averageMs < QUICK_FETCH_MS ? RANGES_IN_SWARM : 1, room)
  }

  /** Own share first; then what nobody has claimed; then, starving, anything. -1: nothing to do now. */
  #choose(): number {
    const { turns } = this.#deps
    // in a large swarm a few dozen fetch for all
    const own = turns.isLimited ? -1 : this.#nextOwn()
    if (own >= 0) return own
    const free = turns.isLimited || this.#mayHelp ? this.#nextFree() : -1
    if (free >= 0) return free
    const claimed = this.#isHeldUp ? this.#nextClaimed() : -1
    if (claimed >= 0) return claimed
    // peers have what is left: the origin only if they are slower than it is
    return this.#isStarving ? this.#deps.pickRescue(this.#inFlight.size === 0) : -1
  }

  /** One at a time: owners come to theirs. */
  get #mayHelp(): boolean {
    if (this.#inFlight.size > 0) return false
    return this.#averageMs > 0 || this.#deps.now() >= this.#helpsFrom
  }

  #nextOwn(): number {
    const { shares, claims, isOnlyAtOrigin } = this.#deps
    return shares.nextOwn(isOnlyAtOrigin, (piece) => !claims.isTaken(piece))
  }

  #nextFree(): number {
    const { shares, claims, isOnlyAtOrigin } = this.#deps
    return shares.nextFree(isOnlyAtOrigin, (piece) => !claims.isTaken(piece))
  }

  /** Whoever claims it. */
  #nextClaimed(): number {
    const { shares, isOnlyAtOrigin } = this.#deps
    return shares.nextFree(isOnlyAtOrigin, () => true)
  }

  /**
   * Others' words are a reason to wait for as long as one claim holds, or while something comes in: it is the
   * rate that decides, not a piece now and then.
   */
  get #isHeldUp(): boolean {
    const { now, claims } = this.#deps
    return this.#heldUpSince !== undefined && now() - this.#heldUpSince > claims.patienceMs
  }

  #reviewHeldUp(): void {
    const isBusy = this.#inFlight.size > 0 && !this.#isHeldUp
    if (isBusy || !this.#isStarving) this.#heldUpSince = undefined
    else this.#heldUpSince ??= this.#deps.now()
  }

  get #isStarving(): boolean {
    // what the origin could bring if nobody else asked says nothing
    const isUnknown = this.#deps.turns.isLimited && this.#averageMs === 0
    return this.#deps.isStarving(isUnknown ? LEAST_ORIGIN_RATE : this.#bytesPerSecond)
  }

  /** What the ranges of a swarm node would bring. Unknown is worth a try: the peers may be slow. */
  get #bytesPerSecond(): number {
    if (this.#averageMs === 0) return Number.POSITIVE_INFINITY
    return (RANGES_IN_SWARM * this.#deps.layout.pieceLength * 1000) / this.#averageMs
  }

  async #fetch(partial: PartialPiece<Peer>): Promise<void> {
    const { piece } = partial
    const fetch: Fetch = { startedAt: this.#deps.now(), controller: new AbortController() }
    this.#inFlight.set(piece, fetch)
    this.#deps.claims.begin(piece)
    try {
      const { signal } = fetch.controller
      await this.#deps.origin.readRange(this.#rangeOf(piece), partial.bytes, signal)
      this.#backoffMs = 0
      const tookMs = Math.max(1, this.#deps.now() - fetch.startedAt)
      this.#averageMs += (tookMs - this.#averageMs) / (this.#averageMs === 0 ? 1 : 4)
      // others are told when the hash is right: who waits for the piece would wait in vain
      this.#deps.finish(partial, (isRight) => {
        this.#deps.claims.end(piece, isRight)
        if (!isRight) this.#strike(piece)
      })
    } catch (error) {
      this.#deps.abandon(partial)
      this.#deps.claims.end(piece, false)
      if (!this.#isDisabled) this.#noteFailure(fetch.controller.signal.aborted ? 'slow' : error)
    } finally {
      this.#inFlight.delete(piece)
      this.#lookAgainAt = Number.NEGATIVE_INFINITY
    }
    this.#deps.turns.noteEnd()
    this.pump()
  }

  #noteFailure(error: unknown): void {
    // only a server that will never do (no ranges, 404, another image) is given up at once
    if (isAgentError(error) && error.kind !== 'transient') {
      this.#disable(messageOf(error))
      return
    }
    this.#backoffMs = Math.min(MAX_BACKOFF_MS, Math.max(MIN_BACKOFF_MS, this.#backoffMs * 2))
    this.#notBefore = this.#deps.now() + this.#backoffMs
    if (error !== 'slow') this.#deps.onTrouble(messageOf(error), false)
  }

  #strike(piece: number): void {
    this.#strikes += 1
    const { origin } = this.#deps
    origin.reportCorrupt(this.#rangeOf(piece))
    const count = `${this.#strikes} of ${origin.maxStrikes}`
    const reason = `piece ${piece} from the origin has a wrong SHA-1 (${count})`
    if (this.#strikes >= origin.maxStrikes) this.#disable(reason)
    else this.#deps.onTrouble(reason, false)
  }

  #disable(reason: string): void {
    if (this.#isDisabled) return
    this.stop()
    this.#deps.onTrouble(reason, true)
  }

  #rangeOf(piece: number): { offset: number; length: number } {
    return pieceRange(this.#deps.layout, piece)
  }
}
