// SPDX-License-Identifier: Apache-2.0
// Owns the pieces in progress: their memory, the verdict on their hash, the way to the disk. Does not
// request blocks.
import { type PieceLayout, pieceRange } from '../../torrent/piece-layout.ts'
import type { Peer } from '../peer.ts'
import { PartialPiece } from './partial-piece.ts'
import type { PiecePicker } from './piece-picker.ts'
import { PIECE_STATES } from './piece-states.ts'
import type { Slot, SlotSource } from './slot.ts'
import { createSmartBan, type SmartBan } from './smart-ban.ts'

const { missing, downloading, hashing, storing, have } = PIECE_STATES

export type PieceOrigin = 'origin' | 'peers'

export interface PiecesInProgressDeps {
  readonly layout: PieceLayout
  readonly picker: PiecePicker
  readonly slots: SlotSource
  /** Most pieces in progress, those being written included. */
  readonly maxInProgress: number
  readonly now: () => number
  /** Calls `done` once, now or later; the bytes stay as they are until then. */
  verify(piece: number, bytes: Uint8Array, done: (isRight: boolean) => void): void
  store(piece: number, slot: Slot, from: PieceOrigin): Promise<void>
  /** A piece is missing again: whoever may fetch it should look. */
  onReopened(): void
  onVerified(piece: number, bytes: number, from: PieceOrigin): void
  onStored(piece: number): void
  onStoreFailed(): void
  onBadPiece(piece: number, from: PieceOrigin): void
  onLiar(peer: Peer, reason: string): void
}

export class PiecesInProgress {
  /** Pieces that peers are filling. */
  readonly partials = new Map<number, PartialPiece<Peer>>()
  readonly #deps: PiecesInProgressDeps
  readonly #smartBan: SmartBan<Peer> = createSmartBan()
  #count = 0

  constructor(deps: PiecesInProgressDeps) {
    this.#deps = deps
  }

  /** Starts a piece for one peer after the other, or for this one alone if it was bad before. */
  openForPeer(piece: number, peer: Peer): PartialPiece<Peer> | undefined {
    const partial = this.open(piece, this.#smartBan.isContested(piece) ? peer : undefined)
    if (partial) this.partials.set(piece, partial)
    return partial
  }

  /** Reserves memory for the piece; undefined if there is none now. */
  open(piece: number, exclusiveTo?: Peer): PartialPiece<Peer> | undefined {
    if (!this.hasRoom) return undefined
    const slot = this.#deps.slots.acquire()
    if (slot === undefined) return undefined
    this.#count += 1
    this.#deps.picker.setState(piece, downloading)
    const { length } = pieceRange(this.#deps.layout, piece)
    return new PartialPiece(piece, length, slot, this.#deps.now(), exclusiveTo)
  }

  get hasRoom(): boolean {
    return this.room > 0
  }

  /** How many more pieces can be started. */
  get room(): number {
    return this.#deps.maxInProgress - this.#count
  }

  /** The piece goes back to where anybody can start it. */
  abandon(partial: PartialPiece<Peer>): void {
    this.partials.delete(partial.piece)
    this.#deps.slots.release(partial.slot)
    this.#count -= 1
    this.#deps.picker.setState(partial.piece, missing)
    this.#deps.onReopened()
  }

  /** Nobody is left to finish these: whoever else can bring them has to know that they are missing. */
  abandonUnavailable(): void {
    for (const partial of this.partials.values()) {
      if (this.#deps.picker.rarity.availability(partial.piece) === 0) this.abandon(partial)
    }
  }

  /** The piece furthest behind of those that got no block since; undefined if there is none. */
  findStuck(since: number): PartialPiece<Peer> | undefined {
    return [...this.partials.values()]
      .filter((partial) => partial.touchedAt < since)
      .sort((a, b) => b.missingBytes - a.missingBytes)[0]
  }

  /** All blocks are there. */
  finishFromPeers(partial: PartialPiece<Peer>): void {
    this.partials.delete(partial.piece)
    this.#verify(partial, 'peers', () => {
      const liar = this.#smartBan.convict(partial)
      this.abandon(partial)
      if (liar) this.#deps.onLiar(liar, `piece ${partial.piece} from it alone has a wrong SHA-1`)
    })
  }

  /** The origin filled it. */
  finishFromOrigin(partial: PartialPiece<Peer>, onVerdict: (isRight: boolean) => void): void {
    this.#verify(
      partial,
      'origin',
      () => {
        this.abandon(partial)
        onVerdict(false)
      },
      () => onVerdict(true),
    )
  }

  #verify(
    partial: PartialPiece<Peer>,
    from: PieceOrigin,
    onWrong: () => void,
    onRight: () => void = () => undefined,
  ): void {
    const deps = this.#deps
    deps.picker.setState(partial.piece, hashing)
    deps.verify(partial.piece, partial.bytes, (isRight) => {
      if (isRight) {
        this.#store(partial, from)
        onRight()
      } else {
        deps.onBadPiece(partial.piece, from)
        onWrong()
      }
    })
  }

  #store(partial: PartialPiece<Peer>, from: PieceOrigin): void {
    const deps = this.#deps
    const { piece, slot, lengthBytes } = partial
    deps.picker.setState(piece, storing)
    for (const liar of this.#smartBan.acquit(partial)) {
      deps.onLiar(liar, `its blocks of piece ${piece} were wrong`)
    }
    deps.onVerified(piece, lengthBytes, from)
    deps.store(piece, slot, from).then(() => {
      this.#count -= 1
      deps.picker.setState(piece, have)
      deps.onStored(piece)
    }, deps.onStoreFailed)
  }
}
