// SPDX-License-Identifier: Apache-2.0
// Owns the swarm as one node sees it: peers coming and going, the parts that decide about requests,
// origin and uploads, and their clockwork. Clock, randomness, wires and memory are arguments. No I/O.
import type { PieceLayout } from '../torrent/piece-layout.ts'
import { type Choker, createChoker } from './choker.ts'
import { Claims } from './origin/claims.ts'
import type { Origin } from './origin/origin.ts'
import { OriginFetcher } from './origin/origin-fetcher.ts'
import { OriginShares } from './origin/origin-shares.ts'
import { Turns } from './origin/turns.ts'
import { Peer } from './peer.ts'
import type { PeerWire } from './peer-wire.ts'
import { PIECE_STATES, PiecePicker } from './pieces/piece-picker.ts'
import { type PieceOrigin, PiecesInProgress } from './pieces/pieces-in-progress.ts'
import type { Slot, SlotSource } from './pieces/slot.ts'
import { createDownloadRate, type DownloadRate } from './requests/download-rate.ts'
import { Rack } from './requests/rack.ts'
import { RequestScheduler } from './requests/request-scheduler.ts'
import { createTokenBucket, type TokenBucket } from './token-bucket.ts'

export type EngineNews =
  | { readonly kind: 'peer dropped'; readonly address: string; readonly reason: string }
  | { readonly kind: 'bad piece'; readonly piece: number; readonly from: PieceOrigin }
  | { readonly kind: 'origin trouble'; readonly reason: string; readonly isFinal: boolean }

export interface EngineOptions {
  readonly layout: PieceLayout
  /** Our peer id, lower-case hex. */
  readonly selfId: string
  /** Milliseconds; may start anywhere. */
  readonly now: () => number
  readonly random: () => number
  /** Runs `work` soon, after the messages at hand: `setImmediate`. */
  readonly defer: (work: () => void) => void
  readonly slots: SlotSource
  /** Most pieces in progress, those being written included. */
  readonly maxInProgress: number
  readonly origin: Origin | undefined
  /** Bytes per second; 0 for none. */
  readonly downloadLimit: number
  readonly maxUploads: number
  /** Calls `done` once, now or later; the bytes stay as they are until then. */
  verify(piece: number, bytes: Uint8Array, done: (isRight: boolean) => void): void
  /** Puts a verified piece on the disk; owns the slot from then on. Only then it is announced. */
  store(piece: number, slot: Slot, from: PieceOrigin): Promise<void>
  onNews(news: EngineNews): void
  /** Every piece is on the disk. */
  onComplete(): void
}

const RECHOKE_MS = 10_000
/** A tick this late means that this node had no CPU time, or slept. */
const LATE_TICK_MS = 1000
/** A peer that owes us blocks for this long gets one request at a time. */
const SNUBBED_MS = 4000
const SILENT_MS = 30_000
/** A started piece without progress for this long may be taken over by the origin. */
const STUCK_PIECE_MS = 1000
const { missing, have, unverified } = PIECE_STATES

export class SwarmEngine {
  readonly #options: EngineOptions
  readonly #picker: PiecePicker
  readonly #inProgress: PiecesInProgress
  readonly #rack: Rack
  readonly #requests: RequestScheduler
  readonly #shares: OriginShares
  readonly #claims: Claims
  readonly #turns: Turns
  readonly #fetcher: OriginFetcher | undefined
  readonly #choker: Choker
  readonly #downloadRate: DownloadRate
  readonly #budget: TokenBucket
  readonly #bytesFrom = { origin: 0, peers: 0 }
  #rechokedAt: number
  #tickedAt: number
  #isStopped = false

  constructor(options: EngineOptions) {
    const { layout, selfId, now, random } = options
    this.#options = options
    this.#picker = new PiecePicker(layout.pieceCount)
    this.#shares = new OriginShares(selfId, layout.pieceCount, layout.pieceLength)
    this.#turns = new Turns({
      random,
      peerCount: () => this.peerCount,
      othersFetching: () => this.#claims.othersFetching,
    })
    this.#claims = new Claims({
      pieceCount: layout.pieceCount,
      peers: this.#picker.peers,
      now,
      random,
      swarmSize: () => this.#turns.swarmSize,
      isOnlyAtOrigin: (piece) => this.#picker.isOnlyAtOrigin(piece),
    })
    this.#choker = createChoker(options.maxUploads, random)
    this.#downloadRate = createDownloadRate(now)
    this.#budget = createTokenBucket(options.downloadLimit, now)
    this.#tickedAt = now()
    this.#rechokedAt = now()
    this.#inProgress = this.#createInProgress()
    this.#rack = new Rack({
      selfId,
      picker: this.#picker,
      pieceLength: layout.pieceLength,
      now,
      random,
    })
    this.#requests = new RequestScheduler({
      picker: this.#picker,
      inProgress: this.#inProgress,
      rack: this.#rack,
      budget: this.#budget,
      pieceLength: layout.pieceLength,
      now,
      random,
      defer: options.defer,
      onBlock: (bytes) => this.#downloadRate.note(bytes),
    })
    this.#fetcher = options.origin && this.#createFetcher(options.origin)
  }

  get peerCount(): number {
    return this.#picker.peers.size
  }

  get isComplete(): boolean {
    return this.#picker.isComplete
  }

  has(piece: number): boolean {
    return this.#picker.state(piece) === have
  }

  /** Bytes not on the disk; what trackers are told. */
  get bytesLeft(): number {
    const { layout } = this.#options
    const pieces = layout.pieceCount - this.#picker.haveCount
    return Math.min(pieces * layout.pieceLength, layout.lengthBytes)
  }

  /** Verified bytes by where they came from, and bytes that came twice. */
  get figures() {
    return { ...this.#bytesFrom, duplicates: this.#requests.duplicateBytes }
  }

  /** How many nodes have the torrent or fetch it, as a tracker says. */
  noteSwarmSize(nodes: number): void {
    this.#turns.noteSwarmSize(nodes)
    this.#fetcher?.noteSwarmSize()
  }

  /** The piece is on the disk: verified, or another source says so and it is not to be fetched. */
  markOnDisk(piece: number, isVerified: boolean): void {
    this.#picker.setState(piece, isVerified ? have : unverified)
    if (isVerified) this.#announce(piece)
  }

  /** What another source wrote has a wrong hash: fetch it. */
  markMissing(piece: number): void {
    this.#picker.setState(piece, missing)
    this.#reconsider()
  }

  /** @param isFar asked again and again: in another rack, as far as is known by then */
  addWire(wire: PeerWire, isFar: () => boolean = () => false): void {
    const picker = this.#picker
    const peer = new Peer(wire, picker.pieceCount, isFar)
    picker.peers.add(peer)
    this.#rack.review()
    if (wire.isSharingOrigin) this.#shares.addPeer(wire.peerId)
    const refresh = () => {
      wire.setInterested(peer.wanted > 0)
      this.#requests.fillLater(peer)
    }
    wire.listen({
      onHave: (piece) => {
        if (piece < picker.pieceCount && picker.isOnlyAtOrigin(piece)) {
          this.#claims.noteAnnouncement(piece)
        }
        this.#rack.noteHave(peer, piece)
        picker.addPiece(peer, piece)
        refresh()
      },
      onBitfield: (has) => {
        picker.replacePieces(peer, has)
        this.#rack.rewind()
        refresh()
      },
      onChoke: () => {
        // it says that it will not send: no debt
        peer.isSnubbed = false
        peer.isRefusing = false
        refresh()
      },
      onUnchoke: () => {
        peer.isResting = false
        peer.isRefusing = false
        refresh()
      },
      onInterested: () => this.#choker.fill(this.#wires()),
      onNotInterested: () => undefined,
      onClaim: (kind, hops, pieces) => this.#claims.hear(peer, kind, hops, pieces),
      onUnasked: (bytes) => {
        this.#requests.duplicateBytes += bytes
      },
      onClose: () => this.#removePeer(peer),
    })
    this.#claims.greet(peer)
    refresh()
  }

  /** Call about four times a second. */
  tick(): void {
    if (this.#isStopped) return
    const now = this.#options.now()
    if (now - this.#tickedAt > LATE_TICK_MS) this.#forgive(now)
    for (const peer of [...this.#picker.peers]) {
      peer.updateRate(now - this.#tickedAt)
      this.#watch(peer, now)
      peer.isResting = false
    }
    this.#tickedAt = now
    this.#rack.review()
    if (now - this.#rechokedAt > RECHOKE_MS) {
      this.#rechokedAt = now
      this.#choker.rotate(this.#wires())
    }
    this.#requests.releaseStalled(this.#fetcher?.isDisabled === false)
    this.#picker.noteIdle(this.#inProgress.partials.size === 0)
    this.#claims.sweep()
    this.#fetcher?.tick()
    this.#requests.fillAllLater()
  }

  stop(): void {
    this.#isStopped = true
    this.#requests.stop()
    this.#fetcher?.stop()
  }

  /** Peers are not to blame for what waits in our own sockets. */
  #forgive(now: number): void {
    this.#downloadRate.forgive()
    this.#rack.forgive()
    for (const peer of this.#picker.peers) peer.owesSince = now
  }

  #createInProgress(): PiecesInProgress {
    const { layout, slots, maxInProgress, now, verify, store, onNews } = this.#options
    return new PiecesInProgress({
      layout,
      picker: this.#picker,
      slots,
      maxInProgress,
      now,
      verify,
      store,
      onReopened: () => this.#reconsider(),
      onVerified: (piece, bytes, from) => {
        this.#bytesFrom[from] += bytes
        this.#rack.noteVerified(piece)
      },
      onStored: (piece) => this.#onStored(piece),
      onStoreFailed: () => this.stop(), // whoever stores knows why and decides
      onBadPiece: (piece, from) => onNews({ kind: 'bad piece', piece, from }),
      onLiar: (peer, reason) => this.#drop(peer, reason, true),
    })
  }

  #onStored(piece: number): void {
    if (this.#isStopped) return
    this.#announce(piece)
    this.#fetcher?.pump()
    this.#requests.fillAllLater()
    if (this.isComplete) this.#options.onComplete()
  }

  #announce(piece: number): void {
    for (const peer of this.#picker.peers) {
      if (peer.has[piece] !== 1) peer.wire.have(piece)
      else peer.wire.setInterested(peer.wanted > 0)
    }
  }

  /** A piece is open again. */
  #reconsider(): void {
    for (const peer of this.#picker.peers) peer.wire.setInterested(peer.wanted > 0)
    this.#shares.rewind()
    this.#rack.rewind()
    this.#requests.fillAllLater()
  }

  #wires(): PeerWire[] {
    return [...this.#picker.peers].map((peer) => peer.wire)
  }

  #watch(peer: Peer, now: number): void {
    if (peer.pending.size === 0 && !peer.isResting) peer.isRefusing = false
    const isOwing = peer.pending.size > 0 || (peer.isDoubtful && peer.wanted > 0)
    const owedMs = isOwing ? now - peer.owesSince : 0
    if (owedMs > SILENT_MS) {
      this.#drop(peer, `it sent nothing for ${SILENT_MS / 1000} s`, false)
    } else if (owedMs > SNUBBED_MS && !peer.isSnubbed) {
      peer.isSnubbed = true
      this.#requests.giveBack(peer)
      if (this.#fetcher?.isDisabled === false) this.#picker.setCounted(peer, false)
      this.#abandonUnavailable()
    } else if (!peer.isSnubbed) {
      this.#picker.setCounted(peer, true)
    }
  }

  #drop(peer: Peer, reason: string, isBanned: boolean): void {
    if (!this.#picker.peers.has(peer)) return
    this.#options.onNews({ kind: 'peer dropped', address: peer.wire.address, reason })
    peer.wire.close(reason, isBanned)
    this.#removePeer(peer)
  }

  #removePeer(peer: Peer): void {
    if (!this.#picker.peers.has(peer)) return
    this.#picker.removePeer(peer)
    this.#claims.forget(peer)
    this.#rack.review()
    this.#requests.giveBack(peer)
    if (peer.wire.isSharingOrigin) this.#shares.removePeer(peer.wire.peerId)
    this.#abandonUnavailable()
    this.#choker.fill(this.#wires())
    this.#fetcher?.pump()
  }

  /** Nobody is left to finish these: the origin has to know that they are open again. */
  #abandonUnavailable(): void {
    for (const partial of this.#inProgress.partials.values()) {
      if (this.#picker.rarity.availability(partial.piece) === 0) this.#inProgress.abandon(partial)
    }
  }

  #createFetcher(origin: Origin): OriginFetcher {
    const { layout, now, maxInProgress } = this.#options
    const { rarity } = this.#picker
    return new OriginFetcher({
      origin,
      layout,
      shares: this.#shares,
      claims: this.#claims,
      turns: this.#turns,
      now,
      maxInProgress,
      hasPeers: () => this.peerCount > 0,
      isOnlyAtOrigin: (piece) => this.#picker.isOnlyAtOrigin(piece),
      peersHave: (piece) => rarity.availability(piece) > 0,
      pickRescue: (mayTakeOver) => this.#pickRescue(mayTakeOver),
      isStarving: (originRate) => this.#downloadRate.isStarving(originRate),
      open: (piece) => this.#inProgress.open(piece),
      finish: (partial, onWrong) => this.#inProgress.finishFromOrigin(partial, onWrong),
      abandon: (partial) => this.#inProgress.abandon(partial),
      mayDownload: (bytes) => this.#budget.take(bytes),
      onTrouble: (reason, isFinal) =>
        this.#options.onNews({ kind: 'origin trouble', reason, isFinal }),
    })
  }

  /**
   * Little comes in although peers have it: such a piece, else the one furthest behind. Pieces that no
   * peer has are on their way from the origin to their owners.
   */
  #pickRescue(mayTakeOver: boolean): number {
    const piece = this.#picker.rarity.pickRarest(() => true, this.#options.random)
    if (piece >= 0 || !mayTakeOver) return piece
    const stuckBefore = this.#options.now() - STUCK_PIECE_MS
    const stuck = [...this.#inProgress.partials.values()]
      .filter((partial) => partial.touchedAt < stuckBefore)
      .sort((a, b) => b.missingBytes - a.missingBytes)[0]
    if (stuck === undefined) return -1
    this.#inProgress.abandon(stuck)
    return stuck.piece
  }
}
