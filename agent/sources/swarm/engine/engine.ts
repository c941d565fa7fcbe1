// SPDX-License-Identifier: Apache-2.0
// Owns the swarm as one node sees it: peers coming and going, the parts that decide about requests,
// origin and uploads, and their clockwork. Clock, randomness, wires and memory are arguments. No I/O.
import type { PeerFigures } from '../../../core/events.ts'
import { type Choker, createChoker } from './choker.ts'
import type { EngineOptions } from './engine-options.ts'
import { OriginDownload } from './origin/origin-download.ts'
import { Peer } from './peer.ts'
import { createPeerListener, type PeerListenerDeps, refreshPeer } from './peer-listener.ts'
import { PeerWatch } from './peer-watch.ts'
import type { PeerWire } from './peer-wire.ts'
import { PiecePicker } from './pieces/piece-picker.ts'
import { PIECE_STATES } from './pieces/piece-states.ts'
import { PiecesInProgress } from './pieces/pieces-in-progress.ts'
import { createDownloadRate, type DownloadRate } from './requests/download-rate.ts'
import { Rack } from './requests/rack.ts'
import { RequestScheduler } from './requests/request-scheduler.ts'
import { createTokenBucket } from './token-bucket.ts'

const RECHOKE_MS = 10_000
/** A tick this late means that this node had no CPU time, or slept. */
const LATE_TICK_MS = 1000
const { missing, have, unverified } = PIECE_STATES

export class SwarmEngine {
  readonly #options: EngineOptions
  readonly #picker: PiecePicker
  readonly #inProgress: PiecesInProgress
  readonly #rack: Rack
  readonly #requests: RequestScheduler
  readonly #origin: OriginDownload
  readonly #watch: PeerWatch
  readonly #listenerDeps: PeerListenerDeps
  readonly #choker: Choker
  readonly #downloadRate: DownloadRate
  readonly #bytesFrom = { origin: 0, peers: 0 }
  #rechokedAt: number
  #tickedAt: number
  #isStopped = false

  constructor(options: EngineOptions) {
    const { layout, now, random } = options
    this.#options = options
    const picker = new PiecePicker(layout.pieceCount)
    const inProgress = this.#createInProgress(picker)
    const downloadRate = createDownloadRate(now)
    const budget = createTokenBucket(options.downloadLimit, now)
    const { pieceLength } = layout
    const rack = new Rack({ selfId: options.selfId, picker, pieceLength, now, random })
    this.#picker = picker
    this.#inProgress = inProgress
    this.#downloadRate = downloadRate
    this.#rack = rack
    this.#requests = new RequestScheduler({
      picker,
      inProgress,
      rack,
      budget,
      pieceLength,
      now,
      random,
      defer: options.defer,
      onBlock: (bytes) => downloadRate.note(bytes),
    })
    this.#origin = new OriginDownload({ options, picker, inProgress, downloadRate, budget })
    this.#watch = new PeerWatch({
      picker,
      inProgress,
      requests: this.#requests,
      isOriginThere: () => this.#origin.isThere,
      onSilent: (peer, reason) => this.#drop(peer, reason, false),
    })
    this.#listenerDeps = {
      picker,
      rack,
      requests: this.#requests,
      claims: this.#origin.claims,
      onInterested: () => this.#choker.fill(this.#wires()),
      onAbuse: (peer, reason) => this.#drop(peer, reason, true),
      onClose: (peer, reason) => this.#onClose(peer, reason),
    }
    this.#choker = createChoker(options.maxUploads, random)
    this.#tickedAt = now()
    this.#rechokedAt = now()
  }

  get peerCount(): number {
    return this.#picker.peers.size
  }

  /** Those that send most first. */
  peerFigures(): PeerFigures[] {
    return [...this.#picker.peers]
      .sort((a, b) => b.rate - a.rate)
      .map(({ wire, rate, isFar, pending }) => ({
        address: wire.address,
        rateBytesPerSecond: Math.round(rate),
        isNear: !isFar,
        isAsked: pending.size > 0,
        isServed: wire.isPeerInterested && !wire.isChoking,
      }))
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
    this.#origin.noteSwarmSize(nodes)
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
    const peer = new Peer(wire, this.#picker.pieceCount, isFar)
    this.#picker.peers.add(peer)
    this.#rack.review()
    this.#origin.addPeer(peer)
    wire.listen(createPeerListener(peer, this.#listenerDeps))
    this.#origin.claims.greet(peer)
    refreshPeer(peer, this.#requests)
  }

  /** Call about four times a second. */
  tick(): void {
    if (this.#isStopped) return
    const now = this.#options.now()
    if (now - this.#tickedAt > LATE_TICK_MS) this.#forgive(now)
    for (const peer of [...this.#picker.peers]) {
      peer.updateRate(now - this.#tickedAt)
      this.#watch.look(peer, now)
      peer.isResting = false
    }
    this.#tickedAt = now
    this.#rack.review()
    if (now - this.#rechokedAt > RECHOKE_MS) {
      this.#rechokedAt = now
      this.#choker.rotate(this.#wires())
    }
    this.#requests.releaseStalled(this.#origin.isThere)
    this.#picker.noteIdle(this.#inProgress.partials.size === 0)
    this.#origin.tick()
    this.#requests.fillAllLater()
  }

  stop(): void {
    this.#isStopped = true
    this.#requests.stop()
    this.#origin.stop()
  }

  /** This node itself was held up. */
  #forgive(now: number): void {
    this.#downloadRate.forgive()
    this.#rack.forgive()
    this.#watch.forgive(now)
  }

  #createInProgress(picker: PiecePicker): PiecesInProgress {
    const { layout, slots, maxInProgress, now, verify, store, onNews } = this.#options
    return new PiecesInProgress({
      layout,
      picker,
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
    this.#origin.pump()
    this.#requests.fillAllLater()
    if (this.isComplete) this.#options.onComplete()
  }

  #announce(piece: number): void {
    for (const peer of this.#picker.peers) {
      if (!peer.pieces.has(piece)) peer.wire.have(piece)
      else peer.wire.setInterested(peer.wanted > 0)
    }
  }

  /** A piece is missing again. */
  #reconsider(): void {
    for (const peer of this.#picker.peers) peer.wire.setInterested(peer.wanted > 0)
    this.#origin.rewind()
    this.#rack.rewind()
    this.#requests.fillAllLater()
  }

  #wires(): PeerWire[] {
    return [...this.#picker.peers].map((peer) => peer.wire)
  }

  #drop(peer: Peer, reason: string, isBanned: boolean): void {
    if (!this.#picker.peers.has(peer)) return
    peer.isDropped = true
    this.#tellDropped(peer, reason)
    peer.wire.close(reason, isBanned)
    this.#removePeer(peer)
  }

  #onClose(peer: Peer, reason: string | undefined): void {
    if (reason !== undefined && !peer.isDropped) this.#tellDropped(peer, reason)
    this.#removePeer(peer)
  }

  #tellDropped({ wire }: Peer, reason: string): void {
    this.#options.onNews({ kind: 'peer dropped', address: wire.address, reason })
  }

  #removePeer(peer: Peer): void {
    if (!this.#picker.peers.has(peer)) return
    this.#picker.removePeer(peer)
    this.#rack.review()
    this.#requests.giveBack(peer)
    this.#origin.removePeer(peer)
    this.#inProgress.abandonUnavailable()
    this.#choker.fill(this.#wires())
    this.#origin.pump()
  }
}
