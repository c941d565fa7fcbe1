// SPDX-License-Identifier: Apache-2.0
// Owns what nodes tell each other about their fetches from the origin, over two hops, so that in a swarm
// where a node sees a part of the others a piece is fetched about once. Believes nobody for long. Does not
// fetch and does not decide who may.
import type { Peer } from '../peer.ts'
import { CLAIM_HOPS, CLAIM_KINDS, type ClaimKind, MAX_CLAIMS_PER_MESSAGE } from './claim.ts'

const { begun, landed, dropped } = CLAIM_KINDS

/** Peers that a message is passed on to, about. */
const FANOUT = 5
/** A claim holds for this long, or this many times what a fetch takes. */
const MIN_PATIENCE_MS = 2000
const PATIENCE_FETCHES = 4
/** The same before anybody has told of a success, and the most that is believed before one of our own. */
const FIRST_PATIENCE_MS = 8000
/** A piece is left to claimers so many times, then claims for it count no longer. */
const MAX_HONOURED = 3
/** Who brought us this many claims that came to nothing, and more than half of all, is not believed. */
const MAX_BROKEN = 8

/** Fetches that count in an average, about. */
const OWN_SAMPLES = 4
const TOLD_SAMPLES = 16

interface Claim {
  since: number
  /** Who told us; undefined: it is ours. */
  readonly teller: Peer | undefined
  isLanded: boolean
}

interface Credit {
  kept: number
  broken: number
}

export interface ClaimsDeps {
  readonly pieceCount: number
  readonly peers: ReadonlySet<Peer>
  readonly now: () => number
  readonly random: () => number
  /** How many nodes there are, ourselves included. */
  swarmSize(): number
  /** Missing, and nobody we know has it. */
  isOnlyAtOrigin(piece: number): boolean
}

export class Claims {
  readonly #deps: ClaimsDeps
  readonly #claims = new Map<number, Claim>()
  readonly #honoured: Uint8Array
  readonly #credits = new WeakMap<Peer, Credit>()
  /** What a fetch takes elsewhere, as we are told. */
  #toldMs = 0
  /** What one of ours takes. */
  #ownMs = 0

  constructor(deps: ClaimsDeps) {
    this.#deps = deps
    this.#honoured = new Uint8Array(deps.pieceCount)
  }

  /** Fetches of others under way, as far as is known. */
  get othersFetching(): number {
    let count = 0
    for (const { teller, isLanded } of this.#claims.values()) {
      if (teller !== undefined && !isLanded) count += 1
    }
    return count
  }

  /** Somebody else is fetching the piece, or has it and it will come. */
  isTaken(piece: number): boolean {
    return this.#claims.get(piece)?.teller !== undefined
  }

  /** We begin with the piece. */
  begin(piece: number): void {
    this.#claims.set(piece, { since: this.#deps.now(), teller: undefined, isLanded: false })
    this.#tellAll(begun, piece)
  }

  /** We have the piece, verified, or have given it up. */
  end(piece: number, isDone: boolean): void {
    const own = this.#claims.get(piece)
    if (own?.teller === undefined) this.#claims.delete(piece)
    if (own && own.teller === undefined && isDone) {
      this.#ownMs = smooth(this.#ownMs, this.#deps.now() - own.since, OWN_SAMPLES)
    }
    this.#tellAll(isDone ? landed : dropped, piece)
  }

  /** What a newcomer has to know. */
  greet(peer: Peer): void {
    const pieces = [...this.#claims]
      .filter(([, claim]) => !claim.isLanded)
      .map(([piece]) => piece)
      .slice(-MAX_CLAIMS_PER_MESSAGE)
    if (pieces.length > 0) peer.wire.claim(begun, 1, pieces)
  }

  /** A peer tells of its own fetches, or passes on what it has heard. */
  hear(teller: Peer, kind: ClaimKind, hops: number, pieces: readonly number[]): void {
    const news = pieces
      .slice(0, MAX_CLAIMS_PER_MESSAGE)
      .filter((piece) => this.#note(teller, kind, piece))
    if (hops > 1 && news.length > 0) this.#passOn(kind, Math.min(hops, CLAIM_HOPS) - 1, news)
  }

  /** The peer is gone, and what it told with it. */
  forget(teller: Peer): void {
    for (const [piece, claim] of this.#claims) {
      if (claim.teller === teller) this.#claims.delete(piece)
    }
  }

  /** A peer has announced the piece: it can be had there. */
  noteAnnouncement(piece: number): void {
    const claim = this.#claims.get(piece)
    if (claim?.teller === undefined) return
    this.#creditOf(claim.teller).kept += 1
    this.#claims.delete(piece)
  }

  /** Call a few times a second: forgets what came to nothing. */
  sweep(): void {
    const oldest = this.#deps.now() - this.patienceMs
    for (const [piece, { since, teller }] of this.#claims) {
      if (teller === undefined) continue
      if (!this.#deps.isOnlyAtOrigin(piece)) this.#claims.delete(piece)
      else if (since < oldest) {
        this.#claims.delete(piece)
        this.#creditOf(teller).broken += 1
      }
    }
  }

  /**
   * How long a claim holds, ms. Others are believed that it is less than it is for us, never that it is more:
   * who claims and tells of a success much later would else have everybody wait longer each time.
   */
  get patienceMs(): number {
    const own = patienceFor(this.#ownMs)
    return this.#toldMs === 0 ? own : Math.min(own, patienceFor(this.#toldMs))
  }

  /** @returns true if it was news */
  #note(teller: Peer, kind: ClaimKind, piece: number): boolean {
    const known = this.#claims.get(piece)
    if (known === undefined) {
      return kind !== dropped && this.#noteNew(teller, piece, kind === landed)
    }
    if (kind === begun || known.teller === undefined || known.isLanded) return false
    if (kind === dropped) this.#claims.delete(piece)
    else this.#noteLanded(known)
    return true
  }

  #noteLanded(claim: Claim): void {
    const now = this.#deps.now()
    this.#toldMs = smooth(this.#toldMs, now - claim.since, TOLD_SAMPLES)
    claim.since = now
    claim.isLanded = true
  }

  #noteNew(teller: Peer, piece: number, isLanded: boolean): boolean {
    if (!(piece < this.#deps.pieceCount) || !this.#deps.isOnlyAtOrigin(piece)) return false
    const honoured = this.#honoured[piece] as number
    const { kept, broken } = this.#creditOf(teller)
    if (honoured >= MAX_HONOURED || (broken >= MAX_BROKEN && broken > kept)) return false
    this.#honoured[piece] = honoured + 1
    this.#claims.set(piece, { since: this.#deps.now(), teller, isLanded })
    return true
  }

  #creditOf(peer: Peer): Credit {
    const known = this.#credits.get(peer)
    if (known) return known
    const credit = { kept: 0, broken: 0 }
    this.#credits.set(peer, credit)
    return credit
  }

  #tellAll(kind: ClaimKind, piece: number): void {
    for (const { wire } of this.#deps.peers) wire.claim(kind, CLAIM_HOPS, [piece])
  }

  /** To a few: all of our peers do the same. Where everybody knows everybody nobody needs it. */
  #passOn(kind: ClaimKind, hops: number, pieces: readonly number[]): void {
    const { peers, random, swarmSize } = this.#deps
    if (swarmSize() <= peers.size + 1) return
    const share = FANOUT / peers.size
    for (const { wire } of peers) if (random() < share) wire.claim(kind, hops, pieces)
  }
}

function patienceFor(fetchMs: number): number {
  if (fetchMs === 0) return FIRST_PATIENCE_MS
  return Math.max(MIN_PATIENCE_MS, PATIENCE_FETCHES * fetchMs)
}

/** @param averageMs 0: nothing is known yet */
function smooth(averageMs: number, latestMs: number, samples: number): number {
  const ms = Math.max(1, latestMs)
  return averageMs === 0 ? ms : averageMs + (ms - averageMs) / samples
}
