// SPDX-License-Identifier: Apache-2.0
// Owns a peer that does what a random list says, and watches what is asked of it: invariants 4, 7 and 8 of
// STATE.md. Sends nothing by itself.
import { expect } from 'vitest'
import type { ClaimKind } from '../../../../../agent/sources/swarm/engine/origin/claim.ts'
import type {
  BlockCallback,
  PeerWire,
  WireListener,
} from '../../../../../agent/sources/swarm/engine/peer-wire.ts'
import type { PieceLayout } from '../../../../../agent/sources/swarm/torrent/piece-layout.ts'
import { bitsOf } from '../../../../../agent/sources/swarm/torrent/piece-set.ts'

/** The right bytes of a piece. */
export const byteOf = (piece: number) => piece + 1

/** What a peer has to know to judge what it is asked for. */
export interface Surroundings {
  readonly layout: PieceLayout
  readonly hasStoreFailed: boolean
  isOnDisk(piece: number): boolean
  /** The origin fills it, or it is hashed, stored, or on the disk. */
  isElsewhere(piece: number): boolean
}

interface Owed {
  readonly piece: number
  readonly length: number
  readonly callback: BlockCallback
}

export class RandomPeer implements PeerWire {
  readonly peerId: string
  readonly address: string
  readonly isSharingOrigin = true
  readonly maxRequests = 3
  isPeerChoking = true
  isPeerInterested = false
  isChoking = true
  isInterested = false
  isClosed = false
  isBanned = false
  hasLied = false
  readonly pieces = new Set<number>()
  readonly #world: Surroundings
  readonly #owed = new Map<string, Owed>()
  readonly #told = new Set<number>()
  #listener: WireListener | undefined

  constructor(world: Surroundings, name: string, has: (piece: number) => boolean) {
    this.#world = world
    this.peerId = name.padEnd(40, '0')
    this.address = name
    for (let piece = 0; piece < world.layout.pieceCount; piece++) {
      if (has(piece)) this.pieces.add(piece)
      if (world.isOnDisk(piece)) this.#told.add(piece)
    }
  }

  listen(listener: WireListener): void {
    this.#listener = listener
    listener.onBitfield(this.#bits())
  }

  request(piece: number, offset: number, length: number, callback: BlockCallback): void {
    // 4
    expect(this.#world.isElsewhere(piece)).toBe(false)
    expect(this.#world.hasStoreFailed).toBe(false)
    // 7
    const key = `${piece}:${offset}`
    expect(this.isPeerChoking || this.isClosed).toBe(false)
    expect(this.pieces.has(piece)).toBe(true)
    expect(this.#owed.has(key)).toBe(false)
    expect(this.#owed.size).toBeLessThan(this.maxRequests)
    this.#owed.set(key, { piece, length, callback })
  }

  cancel(piece: number, offset: number): void {
    this.#owed.delete(`${piece}:${offset}`)
  }

  have(piece: number): void {
    // 8
    expect(this.#world.isOnDisk(piece)).toBe(true)
    expect(this.pieces.has(piece) || this.#told.has(piece)).toBe(false)
    this.#told.add(piece)
  }

  setInterested(isInterested: boolean): void {
    this.isInterested = isInterested
  }

  choke(): void {
    this.isChoking = true
  }

  unchoke(): void {
    this.isChoking = false
  }

  claim(): void {}

  /** It says what it, or another node, fetches from the origin. */
  tellClaim(kind: ClaimKind, piece: number): void {
    this.#listener?.onClaim(kind, 1, [piece])
  }

  close(_reason: string, isBanned: boolean): void {
    // 9
    if (isBanned) expect(this.hasLied).toBe(true)
    this.isBanned = isBanned
    this.leave()
  }

  leave(): void {
    if (this.isClosed) return
    this.isClosed = true
    this.#refuseAll()
    this.#listener?.onClose()
  }

  announce(piece: number): void {
    this.pieces.add(piece)
    this.#listener?.onHave(piece)
  }

  sayBitfield(has: (piece: number) => boolean): void {
    this.pieces.clear()
    for (let piece = 0; piece < this.#world.layout.pieceCount; piece++) {
      if (has(piece)) this.pieces.add(piece)
    }
    this.#listener?.onBitfield(this.#bits())
  }

  #bits(): Uint8Array {
    return bitsOf(this.#world.layout.pieceCount, (piece) => this.pieces.has(piece))
  }

  setChoking(isChoking: boolean): void {
    this.isPeerChoking = isChoking
    if (isChoking) this.#refuseAll()
    if (isChoking) this.#listener?.onChoke()
    else this.#listener?.onUnchoke()
  }

  setPeerInterest(isInterested: boolean): void {
    this.isPeerInterested = isInterested
    if (isInterested) this.#listener?.onInterested()
  }

  answer(which: number, how: 'right' | 'wrong' | 'refused'): void {
    const [key, owed] = [...this.#owed][which % Math.max(1, this.#owed.size)] ?? []
    if (key === undefined || owed === undefined) return
    this.#owed.delete(key)
    if (how === 'wrong') this.hasLied = true
    const byte = how === 'right' ? byteOf(owed.piece) : 254
    owed.callback(how === 'refused' ? null : new Uint8Array(owed.length).fill(byte))
  }

  answerAll(): void {
    while (this.#owed.size > 0) this.answer(0, 'right')
  }

  #refuseAll(): void {
    const owed = [...this.#owed.values()]
    this.#owed.clear()
    for (const { callback } of owed) callback(null)
  }
}
