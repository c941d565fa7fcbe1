// SPDX-License-Identifier: Apache-2.0
// Owns the difference between peers of our rack and the others: a piece crosses to the rack once, brought
// by the node that owns it there, and spreads inside. Does nothing while everybody is near.

import { OriginShares } from '../origin/origin-shares.ts'
import type { Peer } from '../peer.ts'
import type { PiecePicker } from '../pieces/piece-picker.ts'
import { PIECE_STATES } from '../pieces/piece-states.ts'
import { createDownloadRate, type DownloadRate } from './download-rate.ts'

/** Nothing to do and the rack gained nothing for this long: pieces of other owners are fetched too. */
const HELP_AFTER_MS = 400
/** The same in fetches of our own: behind a narrow uplink everybody's take long. */
const HELP_AFTER_FETCHES = 1.5
/** Before that little comes in because there is little to be had. */
const STARVING_AFTER_MS = 2000
/** The meter calls 5 % of a rate little; of what other racks can bring, 25 % is. */
const CROSS_WEIGHT = 5
/** Per tick: what other racks could bring counts half after four seconds. */
const FADING = 0.96
/** Nothing of another rack was ever asked for: one piece tells how fast it would be. */
const PROBE_AFTER_MS = 3000
/** Share of the newest in the average of how long our pieces take to cross. */
const SMOOTHING = 0.25
const { missing, have } = PIECE_STATES

export interface RackDeps {
  readonly selfId: string
  readonly picker: PiecePicker
  readonly pieceLength: number
  readonly now: () => number
  readonly random: () => number
}

export class Rack {
  readonly #deps: RackDeps
  readonly #near = new Set<Peer>()
  readonly #far = new Set<Peer>()
  /** Who owns which piece within the rack; there only while somebody is far. */
  #shares: OriginShares | undefined
  /** Pieces we bring across, with when we began. */
  readonly #crossing = new Map<number, number>()
  /** Far peers that have nothing we own. */
  readonly #exhausted = new Set<Peer>()
  /** How long a piece of ours takes to cross, on average. */
  #crossMs = 0
  /** The best other racks have brought of late, bytes per second. */
  #crossRate = 0
  #farSince = 0
  /** Since then other racks have had something for us. */
  #offeredSince = 0
  #quietSince = 0
  #helpAfterMs = HELP_AFTER_MS
  #isStarving = false
  /** What the rack brings: neighbours, and our own share of what crosses. */
  readonly #downloadRate: DownloadRate

  constructor(deps: RackDeps) {
    this.#deps = deps
    this.#downloadRate = createDownloadRate(deps.now)
  }

  /** Call when peers come or go, and with each tick: a peer may say late where it is. */
  review(): void {
    const { peers } = this.#deps.picker
    let isChanged = this.#near.size + this.#far.size !== peers.size
    for (const peer of peers) isChanged ||= !(peer.isFar ? this.#far : this.#near).has(peer)
    if (isChanged) this.#divide(peers)
    if (this.#shares === undefined) return
    this.#forgetAbandoned()
    const now = this.#deps.now()
    let isOffered = false
    for (const peer of this.#far) isOffered ||= peer.wanted > 0
    if (!isOffered) this.#offeredSince = now
    let farRate = 0
    for (const peer of this.#far) farRate += peer.rate
    this.#crossRate = Math.max(farRate, FADING * this.#crossRate)
    const isWarm = now - this.#offeredSince > STARVING_AFTER_MS
    this.#isStarving = isWarm && this.#downloadRate.isStarving(CROSS_WEIGHT * this.#crossRate)
  }

  /** The peer has announced the piece; call before the picker knows. */
  noteHave(peer: Peer, piece: number): void {
    if (this.#shares === undefined || this.#deps.picker.state(piece) === have) return
    if (this.#isInRack(piece)) return
    if (this.#far.has(peer)) {
      if (this.#shares.owns(piece)) this.#exhausted.delete(peer)
    } else {
      // owners are at work: help them sparingly
      this.#helpAfterMs = this.#patienceMs()
      this.#quietSince = this.#deps.now()
    }
  }

  /** A block came that was not there yet. */
  noteBlock(peer: Peer, piece: number, bytes: number): void {
    if (this.#shares === undefined) return
    const isShare = this.#near.has(peer) || (this.#shares.owns(piece) && !this.#isInRack(piece))
    if (isShare) this.#downloadRate.note(bytes)
  }

  /** The piece is whole. */
  noteVerified(piece: number): void {
    const begunAt = this.#crossing.get(piece)
    if (begunAt === undefined) return
    this.#crossing.delete(piece)
    const now = this.#deps.now()
    this.#quietSince = now
    const tookMs = Math.max(1, now - begunAt)
    this.#crossRate = Math.max(this.#crossRate, (this.#deps.pieceLength * 1000) / tookMs)
    this.#crossMs += (tookMs - this.#crossMs) * (this.#crossMs === 0 ? 1 : SMOOTHING)
  }

  /** This node itself was held up. */
  forgive(): void {
    this.#downloadRate.forgive()
  }

  /** Pieces are open again, or the peer has others than we thought: look from the start. */
  rewind(): void {
    this.#exhausted.clear()
  }

  /** May blocks of a started piece be asked of this peer? */
  allows(peer: Peer, piece: number): boolean {
    if (this.#shares === undefined || !this.#far.has(peer)) return true
    return this.#isStarving || this.#crossing.has(piece) || !this.#isInRack(piece)
  }

  /** The next piece to start with this peer, -1 if there is none. */
  pick(peer: Peer): number {
    const { picker, random, now } = this.#deps
    const shares = this.#shares
    if (shares === undefined || !this.#far.has(peer)) return picker.pickFor(peer, random)
    const piece = this.#pickFar(peer, shares)
    if (piece >= 0) this.#crossing.set(piece, now())
    return piece
  }

  #pickFar(peer: Peer, shares: OriginShares): number {
    const { picker, random, now } = this.#deps
    const waits = (piece: number) => peer.pieces.has(piece) && !this.#isInRack(piece)
    if (!this.#exhausted.has(peer)) {
      const own = picker.rarity.pickRarest((piece) => shares.owns(piece) && waits(piece), random)
      if (own >= 0) return own
      this.#exhausted.add(peer)
    }
    // neighbours may have it, but they are slow
    if (this.#isStarving || this.#isProbeDue()) {
      return picker.rarity.pickRarest((piece) => peer.pieces.has(piece), random)
    }
    if (!this.#mayHelp()) return -1
    const help = picker.rarity.pickRarest(waits, random)
    if (help >= 0) {
      this.#helpAfterMs /= 2
      this.#quietSince = now()
    }
    return help
  }

  #mayHelp(): boolean {
    if (this.#crossing.size > 0) return false
    if (this.#deps.now() - this.#quietSince < this.#helpAfterMs) return false
    for (const peer of this.#near) if (peer.startable > 0) return false
    return true
  }

  #isProbeDue(): boolean {
    const isUnknown = this.#crossMs === 0 && this.#crossing.size === 0
    return isUnknown && this.#deps.now() - this.#farSince > PROBE_AFTER_MS
  }

  #patienceMs(): number {
    return Math.max(HELP_AFTER_MS, HELP_AFTER_FETCHES * this.#crossMs)
  }

  #isInRack(piece: number): boolean {
    for (const peer of this.#near) if (peer.pieces.has(piece)) return true
    return false
  }

  #divide(peers: ReadonlySet<Peer>): void {
    this.#openOrCloseRack([...peers].some((peer) => peer.isFar))
    // step by step: the shares of thousands of pieces are not worked out anew for each peer
    for (const peer of this.#near) {
      if (peers.has(peer) && !peer.isFar) continue
      this.#near.delete(peer)
      if (peer.wire.isSharingOrigin) this.#shares?.removePeer(peer.wire.peerId)
    }
    this.#far.clear()
    for (const peer of peers) {
      if (peer.isFar) this.#far.add(peer)
      else if (!this.#near.has(peer)) {
        this.#near.add(peer)
        if (peer.wire.isSharingOrigin) this.#shares?.addPeer(peer.wire.peerId)
      }
    }
    this.#exhausted.clear()
  }

  #openOrCloseRack(isAnyFar: boolean): void {
    if (isAnyFar === (this.#shares !== undefined)) return
    const { selfId, picker, pieceLength, now } = this.#deps
    this.#near.clear() // to be added to the rack
    this.#crossing.clear()
    this.#shares = isAnyFar ? new OriginShares(selfId, picker.pieceCount, pieceLength) : undefined
    this.#farSince = this.#quietSince = this.#offeredSince = now()
  }

  /** What was given back is not on its way any more. */
  #forgetAbandoned(): void {
    for (const piece of this.#crossing.keys()) {
      if (this.#deps.picker.state(piece) === missing) this.#crossing.delete(piece)
    }
  }
}
