// SPDX-License-Identifier: Apache-2.0
// Owns what the engine knows of one peer: its pieces, our requests to it, its speed. Does not decide.
import { BLOCK_BYTES } from '../torrent/piece-layout.ts'
import { PieceSet } from '../torrent/piece-set.ts'
import type { PeerWire } from './peer-wire.ts'
import type { Candidates } from './pieces/candidates.ts'
import type { PartialPiece } from './pieces/partial-piece.ts'

export interface PendingBlock {
  readonly partial: PartialPiece<Peer>
  readonly block: number
}

/** Few: what a busy peer owes us nobody else can bring, and many peers together owe us enough. */
const START_REQUESTS = 2
const MAX_REQUESTS = 256
/** The pipeline holds what arrives in this time: more than any round trip of a data centre. */
const PIPELINE_MS = 150
/** Or in so many times the soonest answer of late: some programs look at requests a few times a second only. */
const PIPELINE_ANSWERS = 1.5
const MAX_PIPELINE_MS = 1000
/** Of the soonest answer, per tick: it counts twice after half a minute, or what changes would never be seen. */
const AGEING = 1.005
/** A peer that is asked nothing is taken for twice as quick after this long: its queue gets shorter. */
const FORGET_MS = 500
/** Share of the newest interval in the speed: a time constant of about a second. */
const SMOOTHING = 0.25

export class Peer {
  readonly wire: PeerWire
  readonly pieces: PieceSet
  /** Pieces it has that nobody has started. */
  startable = 0
  /** The way through these, once they had to be searched for. */
  candidates: Candidates | undefined
  /** Pieces it has that are not on our disk. */
  wanted = 0
  /** Our outstanding requests by block number within the image. */
  readonly pending = new Map<number, PendingBlock>()
  /** Time of the last block, or of the first request since: how long it owes us. */
  owesSince = 0
  isSnubbed = false
  /** We have closed it ourselves, and said why. */
  isDropped = false
  /** Pieces that it said it has and then has not. */
  lostPieces = 0
  /** What it has counts in the availability; if not, the origin is asked for it as if nobody had it. */
  isCounted = true
  /** It refused a request: nothing is asked of it until the next tick, or both would spin. */
  isResting = false
  /** It refuses and sends nothing: what is asked of it again is the old debt. */
  isRefusing = false
  /** Bytes per second, smoothed. */
  rate = 0
  #fresh = 0
  /** From request to block, smoothed. */
  #answerMs = 0
  /** The soonest of late: without what waits in queues. */
  #soonestMs = MAX_PIPELINE_MS
  readonly #isFar: () => boolean

  constructor(wire: PeerWire, pieceCount: number, isFar: () => boolean) {
    this.wire = wire
    this.pieces = new PieceSet(pieceCount)
    this.#isFar = isFar
  }

  /** In another rack, as far as is known by now. */
  get isFar(): boolean {
    return this.#isFar()
  }

  /** It may not bring what it is asked for. */
  get isDoubtful(): boolean {
    return this.isSnubbed || this.isRefusing
  }

  /** How long it will take to answer a request, ms, as far as is known; 1 if nothing is. */
  expectedMs(now: number): number {
    const age = this.pending.size > 0 ? 0 : now - this.owesSince
    return 1 + this.#answerMs * 2 ** (-age / FORGET_MS)
  }

  /** @param tookMs since it was asked for */
  noteBlock(bytes: number, now: number, tookMs: number): void {
    this.#answerMs += (tookMs - this.#answerMs) * SMOOTHING
    this.#soonestMs = Math.min(this.#soonestMs, tookMs)
    this.#fresh += bytes
    this.owesSince = now
    this.isSnubbed = false
    this.isRefusing = false
  }

  /** Call at even intervals. */
  updateRate(elapsedMs: number): void {
    if (elapsedMs <= 0) return
    const latest = (this.#fresh / elapsedMs) * 1000
    this.rate += (latest - this.rate) * SMOOTHING
    this.#fresh = 0
    this.#soonestMs *= AGEING
  }

  /** How many requests to keep outstanding: the bandwidth-delay product, within the peer's limit. */
  get pipelineDepth(): number {
    if (this.isSnubbed) return 1
    const soonestMs = Math.min(PIPELINE_ANSWERS * this.#soonestMs, MAX_PIPELINE_MS)
    const pipelineMs = Math.max(PIPELINE_MS, soonestMs)
    const depth = START_REQUESTS + Math.ceil((pipelineMs * this.rate) / 1000 / BLOCK_BYTES)
    return Math.min(depth, MAX_REQUESTS, this.wire.maxRequests)
  }
}
