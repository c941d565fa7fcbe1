// SPDX-License-Identifier: Apache-2.0
// Owns the state of every piece and, per peer, how many pieces are worth asking for; kept up to date
// piece by piece so that no decision needs a scan. Does not request or store.
import type { Peer } from '../peer.ts'
import { Candidates, drawOrder } from './candidates.ts'
import { isWanted, mayFollow, PIECE_STATES, type PieceState } from './piece-states.ts'
import { RarityIndex } from './rarity-index.ts'

const { missing, have } = PIECE_STATES
/** Rare pieces looked at for one that a peer has, before any that it has will do. */
const MAX_LOOKS = 256
/**
 * Holders of a piece are asked for it by about this many peers each: a hundred that ask the first one share
 * its cable, and nobody has anything to pass on for a hundred pieces' time.
 */
const ASKERS_PER_HOLDER = 8

export class PiecePicker {
  readonly pieceCount: number
  readonly rarity: RarityIndex
  readonly peers = new Set<Peer>()
  #haveCount = 0
  /** By piece, when it is our turn to ask for it: a share of those who know it. */
  #turns: Float32Array | undefined
  #eagerness = 1
  /** Of all pieces, any: made when the first peer has to be searched. */
  #order: Uint32Array | undefined
  readonly #states: Uint8Array

  constructor(pieceCount: number) {
    this.pieceCount = pieceCount
    this.rarity = new RarityIndex(pieceCount)
    this.#states = new Uint8Array(pieceCount)
    for (let piece = 0; piece < pieceCount; piece++) this.rarity.add(piece)
  }

  get haveCount(): number {
    return this.#haveCount
  }

  get isComplete(): boolean {
    return this.#haveCount === this.pieceCount
  }

  state(piece: number): PieceState {
    return this.#states[piece] as PieceState
  }

  /** True if nobody fetches the piece and no peer has it: the origin is the only place. */
  isOnlyAtOrigin(piece: number): boolean {
    return this.#states[piece] === missing && this.rarity.availability(piece) === 0
  }

  /** The only way to another state. Throws if it may not follow the one before: the caller is wrong. */
  setState(piece: number, next: PieceState): void {
    const previous = this.state(piece)
    if (!mayFollow(previous, next)) {
      throw new Error(`piece ${piece} cannot go from state ${previous} to ${next}`)
    }
    if (previous === next) return
    this.#states[piece] = next
    if (previous === missing) this.rarity.remove(piece)
    if (next === missing) this.rarity.add(piece)
    this.#haveCount += Number(next === have) - Number(previous === have)
    const startable = Number(next === missing) - Number(previous === missing)
    const wanted = Number(isWanted(next)) - Number(isWanted(previous))
    if (startable === 0 && wanted === 0) return
    for (const peer of this.peers) {
      if (!peer.pieces.has(piece)) continue
      peer.startable += startable
      peer.wanted += wanted
      if (next === missing) peer.candidates?.add(piece)
    }
  }

  /**
   * A missing piece to start with this peer, one of the rarest that it has if such are found soon; -1 if
   * there is none. What it costs does not depend on the number of pieces.
   */
  pickFor(peer: Peer, random: () => number): number {
    if (peer.startable === 0) return -1
    this.#turns ??= Float32Array.from({ length: this.pieceCount }, random)
    const fits = (each: number) => peer.pieces.has(each) && this.#isTurn(each)
    const piece = this.rarity.pickRarest(fits, random, MAX_LOOKS)
    return piece >= 0 ? piece : this.#pickCandidate(peer, random)
  }

  /** Call a few times a second. @param isIdle nothing is under way: waiting for one's turn is no good */
  noteIdle(isIdle: boolean): void {
    this.#eagerness = isIdle ? 2 * this.#eagerness : 1
  }

  /** Enough peers have the piece for us to be among those who ask. */
  #isTurn(piece: number): boolean {
    const asked = ASKERS_PER_HOLDER * this.rarity.availability(piece) * this.#eagerness
    return (this.#turns?.[piece] ?? 0) * this.peers.size < asked
  }

  /** Nearly all it has is here, or common: its pieces are gone through once, later ones as they come. */
  #pickCandidate(peer: Peer, random: () => number): number {
    this.#order ??= drawOrder(this.pieceCount, random)
    peer.candidates ??= new Candidates(this.#order)
    return peer.candidates.find(
      (piece) => peer.pieces.has(piece) && this.state(piece) === missing,
      (piece) => this.#isTurn(piece),
    )
  }

  addPiece(peer: Peer, piece: number): void {
    if (piece >= this.pieceCount || peer.pieces.has(piece)) return
    peer.pieces.add(piece)
    if (peer.isCounted) this.rarity.increment(piece)
    const state = this.state(piece)
    peer.startable += Number(state === missing)
    peer.wanted += Number(isWanted(state))
    if (state === missing) peer.candidates?.add(piece)
  }

  /** A bitfield says anew what the peer has. @returns how many pieces it has no more */
  replacePieces(peer: Peer, bits: Uint8Array): number {
    let lost = 0
    for (const piece of peer.pieces.differing(bits)) {
      if (peer.pieces.has(piece)) {
        this.removePiece(peer, piece)
        lost += 1
      } else this.addPiece(peer, piece)
    }
    return lost
  }

  removePiece(peer: Peer, piece: number): void {
    if (!peer.pieces.has(piece)) return
    peer.pieces.delete(piece)
    if (peer.isCounted) this.rarity.decrement(piece)
    const state = this.state(piece)
    peer.startable -= Number(state === missing)
    peer.wanted -= Number(isWanted(state))
  }

  /** Whether the pieces of the peer count in the availability: not of one that claims them and sends none. */
  setCounted(peer: Peer, isCounted: boolean): void {
    if (peer.isCounted === isCounted) return
    peer.isCounted = isCounted
    for (let piece = 0; piece < this.pieceCount; piece++) {
      if (!peer.pieces.has(piece)) continue
      if (isCounted) this.rarity.increment(piece)
      else this.rarity.decrement(piece)
    }
  }

  removePeer(peer: Peer): void {
    if (!this.peers.delete(peer)) return
    for (let piece = 0; piece < this.pieceCount; piece++) this.removePiece(peer, piece)
  }
}
