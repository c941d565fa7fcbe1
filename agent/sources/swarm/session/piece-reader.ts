// SPDX-License-Identifier: Apache-2.0
// Owns reading pieces back from the disk for uploads and checks: one read per piece however many ask,
// few at a time, each verified before use. Does not read itself; the agent's thread does.

import type { Slot } from '../engine/pieces/slot.ts'
import type { Arena } from '../thread/arena.ts'

/** Takes what it needs of the verified bytes at once; an error if they are not to be had. */
type Taker = (bytes: Uint8Array | Error) => void

/** Where downloads hold all memory. */
const RETRY_MS = 10

export interface PieceReader {
  /** Calls `take` once: now if the piece is in memory, else when it is. */
  use(piece: number, take: Taker): void
  /** The result of `take` on the verified bytes of the piece. */
  read<T>(piece: number, take: (bytes: Uint8Array) => T): Promise<T>
  /** The agent's thread has filled the slot, or could not. */
  onRead(piece: number, error: string | null): void
  /** Nothing more is asked for. */
  close(): void
}

export interface PieceReaderDeps {
  readonly arena: Arena
  /** At a time, at most. */
  readonly maxReads: number
  lengthOf(piece: number): number
  /** Calls `done` once, now or later. */
  verify(piece: number, bytes: Uint8Array, done: (isRight: boolean) => void): void
  /** Asks for the piece in the slot. */
  order(piece: number, slot: Slot): void
}

/** Reads by way of the arena: what lies in it is not read again. */
export function createPieceReader(deps: PieceReaderDeps): PieceReader {
  return new ArenaPieceReader(deps)
}

class ArenaPieceReader implements PieceReader {
  readonly #deps: PieceReaderDeps
  /** By piece, those who will take of it. */
  readonly #waiting = new Map<number, Taker[]>()
  readonly #reading = new Map<number, Slot>()
  /** Pieces that are waited for and not being read. */
  readonly #queue: number[] = []
  #retry: NodeJS.Timeout | undefined

  constructor(deps: PieceReaderDeps) {
    this.#deps = deps
  }

  use(piece: number, take: Taker): void {
    const slot = this.#deps.arena.find(piece)
    if (slot) {
      take(slot.bytes.subarray(0, this.#deps.lengthOf(piece)))
      return
    }
    const others = this.#waiting.get(piece)
    if (others) {
      others.push(take)
      return
    }
    this.#waiting.set(piece, [take])
    this.#queue.push(piece)
    this.#pump()
  }

  read<T>(piece: number, take: (bytes: Uint8Array) => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.use(piece, (bytes) => {
        if (bytes instanceof Error) reject(bytes)
        else resolve(take(bytes))
      })
    })
  }

  onRead(piece: number, error: string | null): void {
    const slot = this.#reading.get(piece)
    if (slot === undefined) return
    if (error !== null) {
      this.#finish(piece, slot, new Error(`piece ${piece}: ${error}`))
      return
    }
    const bytes = slot.bytes.subarray(0, this.#deps.lengthOf(piece))
    this.#deps.verify(piece, bytes, (isRight) => {
      const result = isRight ? bytes : new Error(`piece ${piece}: its SHA-1 is wrong`)
      this.#finish(piece, slot, result)
    })
  }

  close(): void {
    this.#queue.length = 0
    clearTimeout(this.#retry)
  }

  #pump(): void {
    while (this.#queue.length > 0 && this.#reading.size < this.#deps.maxReads) {
      const slot = this.#deps.arena.acquire()
      if (slot === undefined) {
        // downloads hold everything for a moment
        this.#retry ??= setTimeout(() => {
          this.#retry = undefined
          this.#pump()
        }, RETRY_MS)
        return
      }
      const piece = this.#queue.shift() as number
      this.#reading.set(piece, slot)
      this.#deps.order(piece, slot)
    }
  }

  #finish(piece: number, slot: Slot, result: Uint8Array | Error): void {
    this.#reading.delete(piece)
    const waiters = this.#waiting.get(piece) ?? []
    this.#waiting.delete(piece)
    // all take their part before anything else may evict the slot
    for (const take of waiters) take(result)
    if (result instanceof Error) this.#deps.arena.release(slot)
    else this.#deps.arena.retain(piece, slot)
    this.#pump()
  }
}
