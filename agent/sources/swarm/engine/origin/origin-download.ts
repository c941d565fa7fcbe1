// SPDX-License-Identifier: Apache-2.0
// Owns the parts that decide about the origin and their wiring: shares, claims, turns, and the fetcher where
// there is an origin. Without one it still passes on what others claim. Does not hold piece states.
import type { EngineOptions } from '../engine-options.ts'
import type { Peer } from '../peer.ts'
import type { PiecePicker } from '../pieces/piece-picker.ts'
import type { PiecesInProgress } from '../pieces/pieces-in-progress.ts'
import type { DownloadRate } from '../requests/download-rate.ts'
import type { TokenBucket } from '../token-bucket.ts'
import { Claims } from './claims.ts'
import type { Origin } from './origin.ts'
import { OriginFetcher } from './origin-fetcher.ts'
import { OriginShares } from './origin-shares.ts'
import { Turns } from './turns.ts'

/** A piece in progress without a block for this long may be taken over by the origin. */
const STUCK_PIECE_MS = 1000

export interface OriginDownloadDeps {
  readonly options: EngineOptions
  readonly picker: PiecePicker
  readonly inProgress: PiecesInProgress
  readonly downloadRate: DownloadRate
  readonly budget: TokenBucket
}

export class OriginDownload {
  readonly claims: Claims
  readonly #deps: OriginDownloadDeps
  readonly #shares: OriginShares
  readonly #turns: Turns
  readonly #fetcher: OriginFetcher | undefined

  constructor(deps: OriginDownloadDeps) {
    const { options, picker } = deps
    const { layout, now, random, origin } = options
    this.#deps = deps
    this.#shares = new OriginShares(options.selfId, layout.pieceCount, layout.pieceLength)
    this.#turns = new Turns({
      random,
      peerCount: () => picker.peers.size,
      othersFetching: () => this.claims.othersFetching,
    })
    this.claims = new Claims({
      pieceCount: layout.pieceCount,
      peers: picker.peers,
      now,
      random,
      swarmSize: () => this.#turns.swarmSize,
      isOnlyAtOrigin: (piece) => picker.isOnlyAtOrigin(piece),
    })
    this.#fetcher = origin && this.#createFetcher(origin)
  }

  /** There is an origin, and it is not given up. */
  get isThere(): boolean {
    return this.#fetcher?.isDisabled === false
  }

  /** How many nodes have the torrent or fetch it, as a tracker says. */
  noteSwarmSize(nodes: number): void {
    this.#turns.noteSwarmSize(nodes)
    this.#fetcher?.noteSwarmSize()
  }

  addPeer({ wire }: Peer): void {
    if (wire.isSharingOrigin) this.#shares.addPeer(wire.peerId)
  }

  removePeer(peer: Peer): void {
    this.claims.forget(peer)
    if (peer.wire.isSharingOrigin) this.#shares.removePeer(peer.wire.peerId)
  }

  /** A piece is missing again: look for pieces from the start. */
  rewind(): void {
    this.#shares.rewind()
  }

  /** Starts as many fetches as there is reason for. Cheap to call. */
  pump(): void {
    this.#fetcher?.pump()
  }

  /** Call about four times a second. */
  tick(): void {
    this.claims.sweep()
    this.#fetcher?.tick()
  }

  stop(): void {
    this.#fetcher?.stop()
  }

  #createFetcher(origin: Origin): OriginFetcher {
    const { options, picker, inProgress, downloadRate, budget } = this.#deps
    return new OriginFetcher({
      origin,
      layout: options.layout,
      shares: this.#shares,
      claims: this.claims,
      turns: this.#turns,
      now: options.now,
      maxInProgress: options.maxInProgress,
      hasPeers: () => picker.peers.size > 0,
      isOnlyAtOrigin: (piece) => picker.isOnlyAtOrigin(piece),
      peersHave: (piece) => picker.rarity.availability(piece) > 0,
      pickRescue: (mayTakeOver) => this.#pickRescue(mayTakeOver),
      isStarving: (originRate) => downloadRate.isStarving(originRate),
      open: (piece) => inProgress.open(piece),
      finish: (partial, onVerdict) => inProgress.finishFromOrigin(partial, onVerdict),
      abandon: (partial) => inProgress.abandon(partial),
      mayDownload: (bytes) => budget.take(bytes),
      onTrouble: (reason, isFinal) => options.onNews({ kind: 'origin trouble', reason, isFinal }),
    })
  }

  /**
   * Little comes in although peers have it: such a piece, else the one furthest behind. Pieces that no
   * peer has are on their way from the origin to their owners.
   */
  #pickRescue(mayTakeOver: boolean): number {
    const { options, picker, inProgress } = this.#deps
    const piece = picker.rarity.pickRarest(() => true, options.random)
    if (piece >= 0 || !mayTakeOver) return piece
    const stuck = inProgress.findStuck(options.now() - STUCK_PIECE_MS)
    if (stuck === undefined) return -1
    inProgress.abandon(stuck)
    return stuck.piece
  }
}
