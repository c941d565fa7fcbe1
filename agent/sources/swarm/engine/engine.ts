// SPDX-License-Identifier: Apache-2.0
// Owns the decisions of the swarm: which block from which peer, which piece from the origin, whom to
// upload to. Clock, randomness, wires and memory are arguments. Does no I/O of its own.
import { type Blame, createBlame } from './blame.ts'
import { type Choker, createChoker } from './choker.ts'
import { createGainMeter, type GainMeter } from './gain-meter.ts'
import { OriginFetcher } from './origin-fetcher.ts'
import { OriginShares } from './origin-shares.ts'
import { BLOCK_BYTES, PartialPiece } from './partial-piece.ts'
import { Peer, type PendingBlock } from './peer.ts'
import {
  type Geometry,
  type Origin,
  type PeerWire,
  pieceRange,
  type Slot,
  type SlotSource,
} from './peer-wire.ts'
import { PIECE_STATES, PieceBoard } from './piece-board.ts'
import { createTokenBucket, type TokenBucket } from './token-bucket.ts'

export type EngineNews =
  | { readonly kind: 'peer dropped'; readonly address: string; readonly reason: string }
  | { readonly kind: 'bad piece'; readonly piece: number; readonly from: 'origin' | 'peers' }
  | { readonly kind: 'origin trouble'; readonly reason: string; readonly isFinal: boolean }

export interface EngineOptions {
  readonly geometry: Geometry
  /** Our peer id, lower-case hex. */
  readonly selfId: string
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
  verify(piece: number, bytes: Uint8Array): boolean
  /** Puts a verified piece on the disk; owns the slot from then on. Only then it is announced. */
  store(piece: number, slot: Slot, from: 'origin' | 'peers'): Promise<void>
  onNews(news: EngineNews): void
  onComplete(): void
}

const RECHOKE_MS = 10_000
/** A peer that owes us blocks for this long gets one request at a time. */
const SNUBBED_MS = 4000
const SILENT_MS = 30_000
/** Without free pieces or memory a block is asked for twice after this long. */
const DUPLICATE_AFTER_MS = 1500
/** In the end-game a peer with fewer requests than this may duplicate another's. */
const ENDGAME_IDLE_REQUESTS = 4
/** A started piece without progress for this long may be taken over by the origin. */
const STUCK_PIECE_MS = 1000
const { missing, started, have, suspect } = PIECE_STATES

export class SwarmEngine {
  readonly #options: EngineOptions
  readonly #board: PieceBoard
  readonly #shares: OriginShares
  readonly #fetcher: OriginFetcher | undefined
  readonly #choker: Choker
  readonly #gain: GainMeter
  readonly #budget: TokenBucket
  readonly #blame: Blame<Peer> = createBlame()
  /** Pieces that peers are filling. */
  readonly #partials = new Map<number, PartialPiece<Peer>>()
  #inProgress = 0
  readonly #awaitingFill = new Set<Peer>()
  #isFillDue = false
  #rechokedAt = 0
  #tickedAt: number
  #isStopped = false
  #bytesFrom = { origin: 0, peers: 0 }
  #duplicateBytes = 0

  constructor(options: EngineOptions) {
    const { geometry, selfId, now, random } = options
    this.#options = options
    this.#board = new PieceBoard(geometry.pieceCount)
    this.#shares = new OriginShares(selfId, geometry.pieceCount, geometry.pieceLength)
    this.#choker = createChoker(options.maxUploads, random)
    this.#gain = createGainMeter(now)
    this.#budget = createTokenBucket(options.downloadLimit, now)
    this.#tickedAt = now()
    this.#fetcher = options.origin && this.#createFetcher(options.origin)
  }

  get peerCount(): number {
    return this.#board.peers.size
  }

  get isComplete(): boolean {
    return this.#board.isComplete
  }

  has(piece: number): boolean {
    return this.#board.state(piece) === have
  }

  /** Bytes not on the disk; what trackers are told. */
  get bytesLeft(): number {
    const { geometry } = this.#options
    const pieces = geometry.pieceCount - this.#board.haveCount
    return Math.min(pieces * geometry.pieceLength, geometry.lengthBytes)
  }

  /** Verified bytes by where they came from, and bytes that came twice. */
  get figures() {
    return { ...this.#bytesFrom, duplicates: this.#duplicateBytes }
  }

  /** The piece is on the disk: verified (`isVerified`), or another source says so. */
  markOnDisk(piece: number, isVerified: boolean): void {
    this.#board.setState(piece, isVerified ? have : suspect)
    if (isVerified) this.#announce(piece)
  }

  /** What another source wrote has a wrong hash: fetch it. */
  markMissing(piece: number): void {
    this.#board.setState(piece, missing)
    this.#shares.rewind()
    this.#fillLater()
  }

  addWire(wire: PeerWire): void {
    const board = this.#board
    const peer = new Peer(wire, board.pieceCount)
    board.peers.add(peer)
    this.#shares.addPeer(wire.peerId)
    const refresh = () => this.#refresh(peer)
    wire.listen({
      onHave: (piece) => {
        board.addPiece(peer, piece)
        refresh()
      },
      onBitfield: (has) => {
        for (let piece = 0; piece < board.pieceCount; piece++) {
          if (has(piece)) board.addPiece(peer, piece)
          else board.removePiece(peer, piece)
        }
        refresh()
      },
      onChoke: refresh,
      onUnchoke: refresh,
      onInterested: () => this.#choker.fill(this.#wires()),
      onUninterested: () => undefined,
      onClose: () => this.#removePeer(peer),
    })
    refresh()
  }

  /** Call about four times a second. */
  tick(): void {
    if (this.#isStopped) return
    const now = this.#options.now()
    for (const peer of this.#board.peers) {
      peer.updateRate(now - this.#tickedAt)
      this.#watch(peer, now)
    }
    this.#tickedAt = now
    if (now - this.#rechokedAt > RECHOKE_MS) {
      this.#rechokedAt = now
      this.#choker.rotate(this.#wires())
    }
    this.#fetcher?.abortSlow()
    this.#fetcher?.pump()
    this.#fillLater()
  }

  stop(): void {
    this.#isStopped = true
    this.#fetcher?.stop()
  }

  // ---- requests

  #refresh(peer: Peer): void {
    peer.wire.setInterested(peer.wanted > 0)
    this.#fillLater(peer)
  }

  /** Fills the pipelines of one peer or of all, after the messages at hand. */
  #fillLater(peer?: Peer): void {
    if (peer) this.#awaitingFill.add(peer)
    else for (const each of this.#board.peers) this.#awaitingFill.add(each)
    if (this.#isFillDue) return
    this.#isFillDue = true
    this.#options.defer(() => {
      this.#isFillDue = false
      const peers = shuffled([...this.#awaitingFill], this.#options.random)
      this.#awaitingFill.clear()
      for (const each of peers) this.#fill(each)
    })
  }

  #fill(peer: Peer): void {
    if (this.#isStopped || !this.#board.peers.has(peer) || peer.wire.isPeerChoking) return
    if (peer.wanted === 0) return
    const depth = peer.pipelineDepth
    while (peer.pending.size < depth) {
      const choice = this.#choose(peer)
      if (choice === undefined || !this.#budget.take(BLOCK_BYTES)) {
        if (choice) choice.partial.noteLost(choice.block)
        return
      }
      this.#request(peer, choice)
    }
  }

  /** Started pieces first, then the rarest, then what is on its way already. */
  #choose(peer: Peer): PendingBlock | undefined {
    for (const partial of this.#partials.values()) {
      if (!mayAsk(peer, partial)) continue
      const block = partial.takeFree()
      if (block >= 0) return { partial, block }
    }
    const fresh = peer.startable > 0 ? this.#startRarest(peer) : undefined
    if (fresh) return { partial: fresh, block: fresh.takeFree() }
    return this.#chooseDuplicate(peer)
  }

  #startRarest(peer: Peer): PartialPiece<Peer> | undefined {
    if (this.#inProgress >= this.#options.maxInProgress) return undefined
    const { rarity } = this.#board
    const piece = rarity.pickRarest((each) => peer.has[each] === 1, this.#options.random)
    if (piece < 0) return undefined
    const partial = this.#open(piece, this.#blame.isContested(piece) ? peer : undefined)
    if (partial) this.#partials.set(piece, partial)
    return partial
  }

  #chooseDuplicate(peer: Peer): PendingBlock | undefined {
    const isEndgame = this.#board.rarity.size === 0
    if (peer.isSnubbed || (isEndgame && peer.pending.size >= ENDGAME_IDLE_REQUESTS))
      return undefined
    const latest = this.#options.now() - (isEndgame ? 0 : DUPLICATE_AFTER_MS)
    for (const partial of this.#partials.values()) {
      if (!mayAsk(peer, partial)) continue
      const block = partial.findDuplicate(latest, (each) =>
        peer.pending.has(this.#key(partial, each)),
      )
      if (block >= 0) return { partial, block }
    }
    return undefined
  }

  #request(peer: Peer, { partial, block }: PendingBlock): void {
    const now = this.#options.now()
    const key = this.#key(partial, block)
    if (peer.pending.size === 0) peer.owesSince = now
    peer.pending.set(key, { partial, block })
    partial.noteRequested(block, now)
    const length = partial.blockLength(block)
    peer.wire.request(partial.piece, partial.blockOffset(block), length, (bytes) => {
      if (peer.pending.delete(key)) this.#onBlock(peer, partial, block, bytes)
    })
  }

  #onBlock(peer: Peer, partial: PartialPiece<Peer>, block: number, bytes: Uint8Array | null): void {
    const isLive = this.#partials.get(partial.piece) === partial
    if (bytes === null || bytes.length !== partial.blockLength(block)) {
      if (isLive) partial.noteLost(block)
      this.#fillLater()
      return
    }
    const now = this.#options.now()
    peer.noteBlock(bytes.length, now)
    if (!isLive || partial.hasReceived(block)) {
      this.#duplicateBytes += bytes.length
    } else {
      partial.receive(block, bytes, peer, now)
      if (partial.copies(block) > 0) this.#cancelOthers(partial, block)
      if (partial.missingBytes === 0) this.#finishFromPeers(partial)
    }
    this.#fillLater(peer)
  }

  #cancelOthers(partial: PartialPiece<Peer>, block: number): void {
    const key = this.#key(partial, block)
    for (const peer of this.#board.peers) {
      if (!peer.pending.delete(key)) continue
      peer.wire.cancel(partial.piece, partial.blockOffset(block), partial.blockLength(block))
      this.#fillLater(peer)
    }
  }

  #key(partial: PartialPiece<Peer>, block: number): number {
    return partial.piece * Math.ceil(this.#options.geometry.pieceLength / BLOCK_BYTES) + block
  }

  // ---- pieces

  #open(piece: number, exclusiveTo?: Peer): PartialPiece<Peer> | undefined {
    if (this.#inProgress >= this.#options.maxInProgress) return undefined
    const slot = this.#options.slots.acquire()
    if (slot === undefined) return undefined
    this.#inProgress += 1
    this.#board.setState(piece, started)
    const { length } = pieceRange(this.#options.geometry, piece)
    return new PartialPiece(piece, length, slot, this.#options.now(), exclusiveTo)
  }

  /** The piece goes back to where it can be started by anybody. */
  #abandon(partial: PartialPiece<Peer>): void {
    this.#partials.delete(partial.piece)
    this.#options.slots.release(partial.slot)
    this.#inProgress -= 1
    this.#board.setState(partial.piece, missing)
    this.#shares.rewind()
    this.#fillLater()
  }

  #finishFromPeers(partial: PartialPiece<Peer>): void {
    this.#partials.delete(partial.piece)
    if (this.#finish(partial, 'peers')) return
    const liar = this.#blame.convict(partial)
    this.#abandon(partial)
    if (liar) this.#ban(liar, `piece ${partial.piece} from it alone has a wrong SHA-1`)
  }

  /** Stores the piece if its hash is right. */
  #finish(partial: PartialPiece<Peer>, from: 'origin' | 'peers'): boolean {
    const { piece, slot, lengthBytes } = partial
    if (!this.#options.verify(piece, partial.bytes)) {
      this.#options.onNews({ kind: 'bad piece', piece, from })
      return false
    }
    for (const liar of this.#blame.acquit(partial)) {
      this.#ban(liar, `its blocks of piece ${piece} were wrong`)
    }
    this.#bytesFrom[from] += lengthBytes
    this.#gain.note(lengthBytes)
    this.#options.store(piece, slot, from).then(
      () => this.#onStored(piece),
      () => this.stop(), // the caller knows why its store failed
    )
    return true
  }

  #onStored(piece: number): void {
    this.#inProgress -= 1
    if (this.#isStopped) return
    this.#board.setState(piece, have)
    this.#announce(piece)
    this.#fetcher?.pump()
    this.#fillLater()
    if (this.isComplete) this.#options.onComplete()
  }

  #announce(piece: number): void {
    for (const peer of this.#board.peers) {
      if (peer.has[piece] !== 1) peer.wire.have(piece)
      else peer.wire.setInterested(peer.wanted > 0)
    }
  }

  // ---- peers

  #wires(): PeerWire[] {
    return [...this.#board.peers].map((peer) => peer.wire)
  }

  #watch(peer: Peer, now: number): void {
    const owedMs = peer.pending.size > 0 ? now - peer.owesSince : 0
    if (owedMs > SILENT_MS) {
      this.#drop(peer, 'it sent nothing for 30 s')
      return
    }
    if (owedMs < SNUBBED_MS || peer.isSnubbed) return
    peer.isSnubbed = true
    this.#giveBack(peer)
  }

  /** Others may fetch what this peer owes us. */
  #giveBack(peer: Peer): void {
    for (const [key, { partial, block }] of [...peer.pending]) {
      peer.pending.delete(key)
      peer.wire.cancel(partial.piece, partial.blockOffset(block), partial.blockLength(block))
      if (this.#partials.get(partial.piece) === partial) partial.noteLost(block)
    }
    for (const partial of this.#partials.values()) {
      if (partial.exclusiveTo === peer) this.#abandon(partial)
    }
    this.#fillLater()
  }

  #ban(peer: Peer, reason: string): void {
    this.#options.onNews({ kind: 'peer dropped', address: peer.wire.address, reason })
    peer.wire.close(reason, true)
    this.#removePeer(peer)
  }

  #drop(peer: Peer, reason: string): void {
    this.#options.onNews({ kind: 'peer dropped', address: peer.wire.address, reason })
    peer.wire.close(reason, false)
    this.#removePeer(peer)
  }

  #removePeer(peer: Peer): void {
    if (!this.#board.peers.has(peer)) return
    this.#board.removePeer(peer)
    this.#giveBack(peer)
    this.#shares.removePeer(peer.wire.peerId)
    // nobody left to finish them: the origin has to know that they are open again
    for (const partial of this.#partials.values()) {
      if (this.#board.rarity.availability(partial.piece) === 0) this.#abandon(partial)
    }
    this.#choker.fill(this.#wires())
    this.#fetcher?.pump()
  }

  // ---- origin

  #createFetcher(origin: Origin): OriginFetcher {
    const { geometry, now, maxInProgress } = this.#options
    return new OriginFetcher({
      origin,
      geometry,
      shares: this.#shares,
      now,
      // peers must always find room for a piece of theirs
      maxRanges: Math.max(1, maxInProgress - 1),
      hasPeers: () => this.peerCount > 0,
      isOnlyAtOrigin: (piece) => this.#board.isOnlyAtOrigin(piece),
      peersHave: (piece) => this.#board.rarity.availability(piece) > 0,
      pickRescue: () => this.#pickRescue(),
      isStarving: () => this.#gain.isStarving(),
      open: (piece) => this.#open(piece),
      finish: (partial) => this.#finishFromOrigin(partial),
      abandon: (partial) => this.#abandon(partial),
      mayDownload: (bytes) => this.#budget.take(bytes),
      onTrouble: (reason, isFinal) =>
        this.#options.onNews({ kind: 'origin trouble', reason, isFinal }),
    })
  }

  #finishFromOrigin(partial: PartialPiece<Peer>): boolean {
    const isRight = this.#finish(partial, 'origin')
    if (!isRight) this.#abandon(partial)
    return isRight
  }

  /** Nothing comes in although peers have it: any missing piece, else the one that is furthest behind. */
  #pickRescue(): number {
    const piece = this.#board.rarity.pickAny(this.#options.random)
    if (piece >= 0) return piece
    const stuckBefore = this.#options.now() - STUCK_PIECE_MS
    const stuck = [...this.#partials.values()]
      .filter((partial) => partial.touchedAt < stuckBefore)
      .sort((a, b) => b.missingBytes - a.missingBytes)[0]
    if (stuck === undefined) return -1
    this.#abandon(stuck)
    return stuck.piece
  }
}

function mayAsk(peer: Peer, partial: PartialPiece<Peer>): boolean {
  return peer.has[partial.piece] === 1 && (partial.exclusiveTo ?? peer) === peer
}

function shuffled<T>(items: T[], random: () => number): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const k = Math.floor(random() * (i + 1))
    const [a, b] = [items[i] as T, items[k] as T]
    items[i] = b
    items[k] = a
  }
  return items
}
