// SPDX-License-Identifier: Apache-2.0
// Owns the requests to peers: pieces in progress first, then the rarest, then the end-game; pipelines kept
// full. Does not verify pieces and does not talk to the origin.
import { BLOCK_BYTES } from '../../torrent/piece-layout.ts'
import type { Peer, PendingBlock } from '../peer.ts'
import type { PartialPiece } from '../pieces/partial-piece.ts'
import type { PiecePicker } from '../pieces/piece-picker.ts'
import type { PiecesInProgress } from '../pieces/pieces-in-progress.ts'
import type { TokenBucket } from '../token-bucket.ts'
import { Endgame } from './endgame.ts'
import type { Rack } from './rack.ts'

/** A piece that nobody brings keeps its memory for this long. */
const STALLED_MS = 4000

export interface RequestSchedulerDeps {
  readonly picker: PiecePicker
  readonly inProgress: PiecesInProgress
  readonly rack: Rack
  readonly budget: TokenBucket
  readonly pieceLength: number
  readonly now: () => number
  readonly random: () => number
  /** Runs `work` soon, after the messages at hand. */
  readonly defer: (work: () => void) => void
  /** A block came that was not there yet. */
  onBlock(bytes: number): void
}

export class RequestScheduler {
  readonly #deps: RequestSchedulerDeps
  readonly #blocksPerPiece: number
  readonly #endgame: Endgame
  readonly #awaitingFill = new Set<Peer>()
  #isFillDue = false
  #isStopped = false
  /** Bytes that came although they were there already. */
  duplicateBytes = 0

  constructor(deps: RequestSchedulerDeps) {
    this.#deps = deps
    this.#blocksPerPiece = Math.ceil(deps.pieceLength / BLOCK_BYTES)
    this.#endgame = new Endgame({
      picker: deps.picker,
      inProgress: deps.inProgress,
      now: deps.now,
      mayAsk: (peer, partial) => this.#mayAsk(peer, partial),
      isPending: (peer, partial, block) => peer.pending.has(this.#key(partial, block)),
    })
  }

  stop(): void {
    this.#isStopped = true
  }

  fillAllLater(): void {
    for (const peer of this.#deps.picker.peers) this.#awaitingFill.add(peer)
    this.#schedule()
  }

  fillLater(peer: Peer): void {
    this.#awaitingFill.add(peer)
    this.#schedule()
  }

  /** Others may fetch what this peer owes us: it is too slow, or gone. */
  giveBack(peer: Peer): void {
    const { partials } = this.#deps.inProgress
    for (const [key, { partial, block }] of [...peer.pending]) {
      peer.pending.delete(key)
      peer.wire.cancel(partial.piece, partial.blockOffset(block), partial.blockLength(block))
      if (partials.get(partial.piece) === partial) partial.noteLost(block)
    }
    for (const partial of partials.values()) {
      if (partial.exclusiveTo === peer) this.#deps.inProgress.abandon(partial)
    }
    this.fillAllLater()
  }

  /**
   * Gives up pieces that nobody is about to bring, where somebody could take their place: another piece while
   * all memory is taken, or another peer where one alone was to bring it. Call with each tick.
   * @param isOriginThere it would use the memory
   */
  releaseStalled(isOriginThere: boolean): void {
    const { picker, inProgress, now } = this.#deps
    const willing = [...picker.peers].filter(
      (peer) => !peer.wire.isPeerChoking && !peer.isDoubtful && peer.wanted > 0,
    )
    const isRoomWanted = isOriginThere || willing.some((peer) => peer.startable > 0)
    const before = now() - STALLED_MS
    for (const partial of inProgress.partials.values()) {
      if (partial.touchedAt > before || willing.some((peer) => this.#mayAsk(peer, partial)))
        continue
      const isForOthers =
        partial.exclusiveTo !== undefined && willing.some((peer) => peer.pieces.has(partial.piece))
      if (isForOthers || (isRoomWanted && !inProgress.hasRoom)) inProgress.abandon(partial)
    }
  }

  #schedule(): void {
    if (this.#isFillDue) return
    this.#isFillDue = true
    this.#deps.defer(() => {
      this.#isFillDue = false
      this.#endgame.review()
      const peers = this.#drawOrder()
      this.#awaitingFill.clear()
      for (const peer of peers) this.#fill(peer)
    })
  }

  /**
   * There is room for few pieces at a time: those who answer soon are asked a little earlier than others, or
   * peers that many know would have long queues and others none.
   */
  #drawOrder(): Peer[] {
    const { now, random } = this.#deps
    const at = now()
    const ranks = Array.from(this.#awaitingFill, (peer) => ({
      peer,
      rank: Math.sqrt(peer.expectedMs(at)) * random(),
    }))
    return ranks.sort((a, b) => a.rank - b.rank).map(({ peer }) => peer)
  }

  #fill(peer: Peer): void {
    const { picker, budget } = this.#deps
    if (this.#isStopped || !picker.peers.has(peer)) return
    if (peer.wire.isPeerChoking || peer.isResting || peer.wanted === 0) return
    const depth = peer.pipelineDepth
    while (peer.pending.size < depth && !peer.isResting) {
      const choice = this.#choose(peer)
      if (choice === undefined) return
      if (!budget.take(BLOCK_BYTES)) {
        choice.partial.putBack(choice.block)
        return
      }
      this.#request(peer, choice)
    }
  }

  #choose(peer: Peer): PendingBlock | undefined {
    for (const partial of this.#deps.inProgress.partials.values()) {
      if (!partial.mayHaveFree || !this.#mayAsk(peer, partial)) continue
      const block = partial.takeFree()
      if (block >= 0) return { partial, block }
    }
    const fresh = peer.startable > 0 ? this.#startRarest(peer) : undefined
    if (fresh) return { partial: fresh, block: fresh.takeFree() }
    return this.#endgame.choose(peer)
  }

  #startRarest(peer: Peer): PartialPiece<Peer> | undefined {
    const { inProgress, rack } = this.#deps
    // the last of the memory is for those who bring something
    if (inProgress.room <= Number(peer.isDoubtful)) return undefined
    const piece = rack.pick(peer)
    return piece < 0 ? undefined : inProgress.openForPeer(piece, peer)
  }

  #request(peer: Peer, choice: PendingBlock): void {
    const { partial, block } = choice
    const now = this.#deps.now()
    const key = this.#key(partial, block)
    // of an attempt that was given up: what comes is for this one
    const isOut = peer.pending.has(key)
    if (peer.pending.size === 0 && !peer.isDoubtful) peer.owesSince = now
    peer.pending.set(key, choice)
    partial.noteRequested(block, now)
    if (isOut) return
    const length = partial.blockLength(block)
    peer.wire.request(partial.piece, partial.blockOffset(block), length, (bytes) => {
      const pending = peer.pending.get(key)
      if (pending === undefined) return
      peer.pending.delete(key)
      this.#onBlock(peer, pending, bytes, now)
    })
  }

  #onBlock(
    peer: Peer,
    { partial, block }: PendingBlock,
    bytes: Uint8Array | null,
    askedAt: number,
  ): void {
    const isLive = this.#deps.inProgress.partials.get(partial.piece) === partial
    if (bytes === null || bytes.length !== partial.blockLength(block)) {
      if (isLive) partial.noteLost(block)
      peer.isResting = true
      peer.isRefusing = true
      this.fillAllLater()
      return
    }
    const now = this.#deps.now()
    peer.noteBlock(bytes.length, now, now - askedAt)
    this.fillLater(peer)
    if (!isLive || partial.hasReceived(block)) {
      this.duplicateBytes += bytes.length
      return
    }
    this.#endgame.noteAnswer(now - partial.requestedAt(block))
    partial.receive(block, bytes, peer, now)
    this.#deps.onBlock(bytes.length)
    this.#deps.rack.noteBlock(peer, partial.piece, bytes.length)
    if (partial.requestCount(block) > 0) this.#cancelOthers(partial, block)
    if (partial.missingBytes === 0) this.#deps.inProgress.finishFromPeers(partial)
  }

  #cancelOthers(partial: PartialPiece<Peer>, block: number): void {
    const key = this.#key(partial, block)
    for (const peer of this.#deps.picker.peers) {
      if (!peer.pending.delete(key)) continue
      peer.wire.cancel(partial.piece, partial.blockOffset(block), partial.blockLength(block))
      this.fillLater(peer)
    }
  }

  #mayAsk(peer: Peer, partial: PartialPiece<Peer>): boolean {
    if (!peer.pieces.has(partial.piece) || (partial.exclusiveTo ?? peer) !== peer) return false
    return this.#deps.rack.allows(peer, partial.piece)
  }

  /** Number of the block within the image. */
  #key(partial: PartialPiece<Peer>, block: number): number {
    return partial.piece * this.#blocksPerPiece + block
  }
}
