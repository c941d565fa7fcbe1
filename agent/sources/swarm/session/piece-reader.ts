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

export function createPieceReader(deps: {
  readonly arena: Arena
  readonly maxReads: number
  lengthOf(piece: number): number
  /** Calls `done` once, now or later. */
  verify(piece: number, bytes: Uint8Array, done: (isRight: boolean) => void): void
  /** Asks for the piece in the slot. */
  order(piece: number, slot: Slot): void
}): PieceReader {
  const waiting = new Map<number, Taker[]>()
  const reading = new Map<number, Slot>()
  const queue: number[] = []
  let retry: NodeJS.Timeout | undefined

  function pump(): void {
    while (queue.length > 0 && reading.size < deps.maxReads) {
      const slot = deps.arena.acquire()
      if (slot === undefined) {
        // downloads hold everything for a moment
        retry ??= setTimeout(() => {
          retry = undefined
          pump()
        }, RETRY_MS)
        return
      }
      const piece = queue.shift() as number
      reading.set(piece, slot)
      deps.order(piece, slot)
    }
  }

  function use(piece: number, take: Taker): void {
    const slot = deps.arena.find(piece)
    if (slot) {
      take(slot.bytes.subarray(0, deps.lengthOf(piece)))
      return
    }
    const others = waiting.get(piece)
    if (others) {
      others.push(take)
      return
    }
    waiting.set(piece, [take])
    queue.push(piece)
    pump()
  }

  function read<T>(piece: number, take: (bytes: Uint8Array) => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      use(piece, (bytes) => {
        if (bytes instanceof Error) reject(bytes)
        else resolve(take(bytes))
      })
    })
  }

  function onRead(piece: number, error: string | null): void {
    const slot = reading.get(piece)
    if (slot === undefined) return
    const bytes = slot.bytes.subarray(0, deps.lengthOf(piece))
    if (error !== null) finish(piece, slot, new Error(`piece ${piece}: ${error}`))
    else {
      deps.verify(piece, bytes, (isRight) => {
        finish(piece, slot, isRight ? bytes : new Error(`piece ${piece}: its SHA-1 is wrong`))
      })
    }
  }

  function finish(piece: number, slot: Slot, result: Uint8Array | Error): void {
    reading.delete(piece)
    const waiters = waiting.get(piece) ?? []
    waiting.delete(piece)
    // all take their part before anything else may evict the slot
    for (const take of waiters) take(result)
    if (result instanceof Error) deps.arena.release(slot)
    else deps.arena.retain(piece, slot)
    pump()
  }

  function close(): void {
    queue.length = 0
    clearTimeout(retry)
  }

  return { use, read, onRead, close }
}
