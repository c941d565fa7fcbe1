// SPDX-License-Identifier: Apache-2.0
// Owns the blocks that we have asked one peer for and that have not been answered. Does not send.
import type { BlockCallback } from '../engine/peer-wire.ts'
import { BLOCK_BYTES } from '../torrent/piece-layout.ts'

/** Blocks of the largest piece, 16 MiB. */
const MAX_BLOCKS_PER_PIECE = 1024

interface Request {
  readonly piece: number
  readonly offset: number
  readonly callback: BlockCallback
}

export class BlockRequests {
  readonly #requests = new Map<number, Request>()

  /** False if the block is asked for already. */
  add(piece: number, offset: number, callback: BlockCallback): boolean {
    const key = keyOf(piece, offset)
    if (this.#requests.has(key)) return false
    this.#requests.set(key, { piece, offset, callback })
    return true
  }

  /** The request has its answer: null if the block will not come. False if nobody has asked. */
  settle(piece: number, offset: number, block: Uint8Array | null): boolean {
    const key = keyOf(piece, offset)
    const request = this.#requests.get(key)
    // peers may name any offset
    if (request === undefined || request.piece !== piece || request.offset !== offset) return false
    this.#requests.delete(key)
    request.callback(block)
    return true
  }

  /** None of them will be answered. */
  refuseAll(): void {
    const requests = [...this.#requests.values()]
    this.#requests.clear()
    for (const { callback } of requests) callback(null)
  }
}

function keyOf(piece: number, offset: number): number {
  return piece * MAX_BLOCKS_PER_PIECE + Math.floor(offset / BLOCK_BYTES)
}
