// SPDX-License-Identifier: Apache-2.0
// Owns what nodes tell each other about their fetches from the origin, over two hops, so that in a swarm
// where a node sees a part of the others a piece is fetched about once. Believes nobody for long. Does not
// fetch and does not decide who may.
import type { Peer } from '../peer.ts'
import { CLAIM_HOPS, CLAIM_KINDS, type ClaimKind, MAX_CLAIMS_PER_MESSAGE } from './claim.ts'

const { begun, landed, dropped } = CLAIM_KINDS

/** Peers that a message is passed on to, about. */
const FANOUT = 5
/** A claim holds for this long, or this many times what a fetch takes elsewhere. */
const MIN_PATIENCE_MS = 2000
const PATIENCE_FETCHES = 4
/** The same before anybody has told of a success. */
const FIRST_PATIENCE_MS = 8000
/** A piece is left to claimers so many times, then claims for it count no longer. */
const MAX_HONOURED = 3
/** Who brought us this many claims that came to nothing, and more than half of all, is not believed. */
const MAX_BROKEN = 8

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
  #averageMs = 0

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

  /** We have the piece, or have given it up. */
  end(piece: number, isDone: boolean): void {
    if (this.#claims.get(piece)?.teller === undefined) this.#claims.delete(piece)
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
    const oldest = this.#deps.now() - this.#patienceMs
    for (const [piece, { since, teller }] of this.#claims) {
      if (teller === undefined) continue
      if (!this.#deps.isOnlyAtOrigin(piece)) this.#claims.delete(piece)
      else if (since < oldest) {
        this.#claims.delete(piece)
        this.#creditOf(teller).broken += 1
      }
    }
  }

  get #patienceMs(): number {
    if (this.#averageMs === 0) return FIRST_PATIENCE_MS
    return Math.max(MIN_PATIENCE_MS, PATIENCE_FETCHES * this.#averageMs)
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
    const tookMs = Math.max(1, now - claim.since)
    this.#averageMs += (tookMs - this.#averageMs) / (this.#averageMs === 0 ? 1 : 16)
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
