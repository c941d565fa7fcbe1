// SPDX-License-Identifier: Apache-2.0
// Owns the traffic with the origin: which pieces this node fetches there, how many at a time, when to
// take over others' shares, when to give the origin up. Does not verify pieces.
import { isAgentError, messageOf } from '../../../core/errors.ts'
import type { Claims } from './claims.ts'
import type { OriginShares } from './origin-shares.ts'
import type { PartialPiece } from './partial-piece.ts'
import type { Peer } from './peer.ts'
import { type Geometry, type Origin, pieceRange } from './peer-wire.ts'
import type { Turns } from './turns.ts'

/** Ranges in flight: alone a node wants the full speed, in a swarm the other nodes fill the gaps. */
const RANGES_ALONE = 4
const RANGES_IN_SWARM = 2
/** Fetches that take longer share the origin with others: two at a time would only end later. */
const QUICK_FETCH_MS = 150
/** An owner that has this many pieces to fetch can do with help. */
const LONG_QUEUE = 4
/** How long what others have to fetch is taken for known. */
const SPARES_FOR_MS = 250
/** Own share done for this long, or some fetches: help with pieces that nobody announced. */
const HELP_AFTER_MS = 400
const HELP_AFTER_FETCHES = 1.5
/** No piece announced for this many times as long: also with those that owners should be fetching. */
const QUIET_PATIENCES = 2
const MIN_BACKOFF_MS = 250
const MAX_BACKOFF_MS = 2000
/** A piece that peers have too is not waited for longer than this, or some average fetches. */
const SLOW_FETCH_MS = 3000
const SLOW_FETCH_AVERAGES = 4

export interface OriginFetcherDeps {
  readonly origin: Origin
  readonly geometry: Geometry
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
  /** Takes the filled piece; `onWrong` is called, now or later, if its hash is wrong. */
  finish(partial: PartialPiece<Peer>, onWrong: () => void): void
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
  #idleSince: number | undefined
  #helpAfterMs = HELP_AFTER_MS
  #announcedAt: number
  #spares: number[] = []
  #sparesAt = Number.NEGATIVE_INFINITY
  #notBefore = 0
  #backoffMs = 0
  #averageMs = 0
  #strikes = 0
  #isDisabled = false
  #isSizeKnown = false

  constructor(deps: OriginFetcherDeps) {
    this.#deps = deps
    this.#announcedAt = deps.now()
  }

  get isDisabled(): boolean {
    return this.#isDisabled
  }

  /** Starts as many fetches as there is reason for. Cheap to call. */
  pump(): void {
    while (this.#mayFetch()) {
      const piece = this.#choose()
      if (piece < 0 || !this.#deps.mayDownload(this.#rangeOf(piece).length)) return
      const partial = this.#deps.open(piece)
      if (partial === undefined) return
      this.#fetch(partial).catch((error: unknown) => this.#disable(messageOf(error)))
    }
  }

  /** A peer has a piece that nobody had: owners are at work, so help them sparingly. */
  noteAnnouncement(): void {
    this.#announcedAt = this.#deps.now()
    this.#helpAfterMs = this.#patienceMs
  }

  /** Call about four times a second. */
  tick(): void {
    const { turns } = this.#deps
    const isFirst = this.#averageMs === 0 && this.#inFlight.size > 0
    if (isFirst && turns.isTooMany()) this.#abortAll()
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
    if (this.#isDisabled || this.#deps.now() < this.#notBefore) return false
    if (!this.#deps.turns.isOurs) return false
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

  /** Own share first; then what nobody has; then, starving, anything. -1: nothing to do now. */
  #choose(): number {
    const { shares } = this.#deps
    const isOpen = (piece: number) => this.#deps.isOnlyAtOrigin(piece)
    if (this.#deps.turns.isLimited) return this.#chooseInTurn()
    const own = shares.nextOwn(isOpen)
    if (own >= 0) {
      this.#idleSince = undefined
      this.#helpAfterMs = this.#patienceMs
      return own
    }
    if (this.#inFlight.size === 0 && shares.nextAny(isOpen) >= 0) {
      const help = this.#chooseHelp(isOpen)
      if (help >= 0) return help
    }
    // peers have what is left: the origin only if they are slower than it is
    if (!this.#deps.isStarving(this.#bytesPerSecond)) return -1
    return this.#deps.pickRescue(this.#inFlight.size === 0)
  }

  /** A few dozen fetch for all: whatever nobody has claimed. */
  #chooseInTurn(): number {
    const free = this.#nextFree()
    if (free >= 0) return free
    return this.#isStarving ? this.#deps.pickRescue(this.#inFlight.size === 0) : -1
  }

  #nextFree(): number {
    const { shares, claims, isOnlyAtOrigin } = this.#deps
    return shares.nextFree(
      (piece) => isOnlyAtOrigin(piece),
      (piece) => !claims.isTaken(piece),
    )
  }

  get #isStarving(): boolean {
    // what the origin could bring if nobody else asked says nothing
    const isUnknown = this.#deps.turns.isLimited && this.#averageMs === 0
    return this.#deps.isStarving(isUnknown ? 0 : this.#bytesPerSecond)
  }

  /**
   * Pieces of others that nobody has announced: at once from those that have many to fetch, else after
   * a while, and ever sooner while owners announce nothing.
   */
  #chooseHelp(isOpen: (piece: number) => boolean): number {
    const { shares, now } = this.#deps
    this.#idleSince ??= now()
    const spare = this.#averageMs > 0 ? this.#nextSpare(isOpen) : -1
    if (spare >= 0) return spare
    if (now() - this.#idleSince < this.#helpAfterMs) return -1
    const isQuiet = now() - this.#announcedAt > QUIET_PATIENCES * this.#patienceMs
    const piece = isQuiet ? shares.nextAny(isOpen) : (shares.spares(isOpen, 2)[0] ?? -1)
    // looked in vain or not: it is not looked again at once
    this.#idleSince = undefined
    if (piece >= 0) this.#helpAfterMs /= 2
    return piece
  }

  #nextSpare(isOpen: (piece: number) => boolean): number {
    const now = this.#deps.now()
    if (now - this.#sparesAt >= SPARES_FOR_MS) {
      this.#sparesAt = now
      this.#spares = this.#deps.shares.spares(isOpen, LONG_QUEUE)
    }
    return this.#spares.find(isOpen) ?? -1
  }

  /** The owners are given this long. */
  get #patienceMs(): number {
    return Math.max(HELP_AFTER_MS, HELP_AFTER_FETCHES * this.#averageMs)
  }

  /** What the ranges of a swarm node would bring. Unknown is worth a try: the peers may be slow. */
  get #bytesPerSecond(): number {
    if (this.#averageMs === 0) return Number.POSITIVE_INFINITY
    return (RANGES_IN_SWARM * this.#deps.geometry.pieceLength * 1000) / this.#averageMs
  }

  async #fetch(partial: PartialPiece<Peer>): Promise<void> {
    const { piece } = partial
    const fetch: Fetch = { startedAt: this.#deps.now(), controller: new AbortController() }
    this.#inFlight.set(piece, fetch)
    this.#deps.claims.begin(piece)
    let isDone = false
    try {
      const { signal } = fetch.controller
      await this.#deps.origin.readRange(this.#rangeOf(piece), partial.bytes, signal)
      this.#backoffMs = 0
      const tookMs = Math.max(1, this.#deps.now() - fetch.startedAt)
      this.#averageMs += (tookMs - this.#averageMs) / (this.#averageMs === 0 ? 1 : 4)
      this.#deps.finish(partial, () => this.#strike(piece))
      isDone = true
    } catch (error) {
      this.#deps.abandon(partial)
      if (!this.#isDisabled) this.#noteFailure(fetch.controller.signal.aborted ? 'slow' : error)
    } finally {
      this.#inFlight.delete(piece)
      this.#deps.claims.end(piece, isDone)
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
    return pieceRange(this.#deps.geometry, piece)
  }
}
