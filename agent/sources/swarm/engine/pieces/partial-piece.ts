// SPDX-License-Identifier: Apache-2.0
// Owns one piece while its blocks come in: which are free, asked for, received, and from whom. Does not
// verify or store it.
import { copyToShared } from '../../../../core/shared-copy.ts'
import { BLOCK_BYTES } from '../../torrent/piece-layout.ts'
import type { Slot } from './slot.ts'

/** A piece in progress. `P` is whoever sends blocks. */
export class PartialPiece<P> {
  readonly piece: number
  readonly slot: Slot
  readonly lengthBytes: number
  readonly blockCount: number
  /** Only this sender is asked: an earlier attempt had a wrong hash and several senders. */
  readonly exclusiveTo: P | undefined
  /** Time of the last block, ms. */
  touchedAt: number
  missingBytes: number
  readonly #isReceived: Uint8Array
  /** Outstanding requests per block. */
  readonly #requestCounts: Uint8Array
  readonly #requestedAt: Float64Array
  /** Who sent each block: to blame if the hash is wrong. */
  readonly #senders: (P | undefined)[]
  #nextFresh = 0
  readonly #freed: number[] = []

  constructor(piece: number, lengthBytes: number, slot: Slot, now: number, exclusiveTo?: P) {
    this.piece = piece
    this.exclusiveTo = exclusiveTo
    this.lengthBytes = lengthBytes
    this.slot = slot
    this.blockCount = Math.ceil(lengthBytes / BLOCK_BYTES)
    this.missingBytes = lengthBytes
    this.touchedAt = now
    this.#isReceived = new Uint8Array(this.blockCount)
    this.#requestCounts = new Uint8Array(this.blockCount)
    this.#requestedAt = new Float64Array(this.blockCount)
    this.#senders = new Array(this.blockCount)
  }

  /** Everybody who sent a block of it. */
  get senders(): Set<P> {
    return new Set(this.#senders.filter((sender) => sender !== undefined))
  }

  senderOf(block: number): P | undefined {
    return this.#senders[block]
  }

  /** The bytes of the piece. */
  get bytes(): Uint8Array {
    return this.slot.bytes.subarray(0, this.lengthBytes)
  }

  blockBytes(block: number): Uint8Array {
    const offset = this.blockOffset(block)
    return this.slot.bytes.subarray(offset, offset + this.blockLength(block))
  }

  blockOffset(block: number): number {
    return block * BLOCK_BYTES
  }

  blockLength(block: number): number {
    return Math.min(BLOCK_BYTES, this.lengthBytes - block * BLOCK_BYTES)
  }

  hasReceived(block: number): boolean {
    return this.#isReceived[block] === 1
  }

  /** How many requests for the block are out. */
  requestCount(block: number): number {
    return this.#requestCounts[block] as number
  }

  /** False if there is surely no block that nobody was asked for. */
  get mayHaveFree(): boolean {
    return this.#nextFresh < this.blockCount || this.#freed.length > 0
  }

  /** When the oldest request that is out by itself was sent; infinity if there is none. */
  get oldestRequestAt(): number {
    let oldest = Number.POSITIVE_INFINITY
    for (let block = 0; block < this.#nextFresh; block++) {
      if (this.#requestCounts[block] !== 1 || this.#isReceived[block] === 1) continue
      oldest = Math.min(oldest, this.#requestedAt[block] as number)
    }
    return oldest
  }

  /** A block that nobody was asked for; -1 if there is none. */
  takeFree(): number {
    while (this.#freed.length > 0) {
      const block = this.#freed.pop() as number
      if (!this.hasReceived(block) && this.requestCount(block) === 0) return block
    }
    return this.#nextFresh < this.blockCount ? this.#nextFresh++ : -1
  }

  /** The block was taken and not asked for after all. */
  putBack(block: number): void {
    if (this.requestCount(block) === 0) this.#freed.push(block)
  }

  /** A block asked for exactly once, before `latest`; -1 if there is none. The end-game's choice. */
  findDuplicate(latest: number, isAskedOf: (block: number) => boolean): number {
    for (let block = 0; block < this.blockCount; block++) {
      if (this.hasReceived(block) || this.requestCount(block) !== 1) continue
      if ((this.#requestedAt[block] as number) <= latest && !isAskedOf(block)) return block
    }
    return -1
  }

  noteRequested(block: number, now: number): void {
    this.#requestCounts[block] = this.requestCount(block) + 1
    this.#requestedAt[block] = now
  }

  /** When the block was asked for last; ms. */
  requestedAt(block: number): number {
    return this.#requestedAt[block] as number
  }

  /** A request ended without the block. */
  noteLost(block: number): void {
    this.#requestCounts[block] = Math.max(0, this.requestCount(block) - 1)
    if (this.requestCount(block) === 0 && !this.hasReceived(block)) this.#freed.push(block)
  }

  /** Takes a block in. The caller has checked that it is new and of the right length. */
  receive(block: number, bytes: Uint8Array, sender: P, now: number): void {
    copyToShared(this.slot.bytes, bytes, this.blockOffset(block))
    this.#isReceived[block] = 1
    this.#requestCounts[block] = Math.max(0, this.requestCount(block) - 1)
    this.missingBytes -= bytes.length
    this.#senders[block] = sender
    this.touchedAt = now
  }
}
