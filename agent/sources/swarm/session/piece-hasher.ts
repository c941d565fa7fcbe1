// SPDX-License-Identifier: Apache-2.0
// Owns the SHA-1 of pieces (BEP 3): here while they come slowly, in a thread of its own once hashing would
// keep the network waiting. Does not decide what happens to a wrong piece.
import { createHash } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { HASH_BYTES } from '../torrent/metainfo.ts'
import type { HashAnswer, HashOrder } from './hash-worker.ts'

/**
 * From this speed on, bytes per second, hashing is worth a thread and its 8 MiB: it takes 7–20 % of a core.
 * A network of 1 Gbit/s does without.
 */
const FAST = 128 * 1024 * 1024
/** Over which the speed is measured. */
const WINDOW_MS = 500

export interface PieceHasher {
  /** Calls `done` once, now or later; the bytes must stay as they are until then. */
  verify(piece: number, bytes: Uint8Array, done: (isRight: boolean) => void): void
  /** Ends the thread; pieces under way are not answered. */
  close(): void
}

export interface PieceHasherOptions {
  /** SHA-1 hashes, end to end. */
  readonly hashes: Uint8Array
  /** Only what lies in here can be hashed by the thread. */
  readonly memory: SharedArrayBuffer
  readonly now: () => number
  /** The thread crashed or could not start. */
  onFailure(error: Error): void
}

export function createPieceHasher({
  hashes,
  memory,
  now,
  onFailure,
}: PieceHasherOptions): PieceHasher {
  let thread: Worker | undefined
  let isUp = false
  let isClosed = false
  /** In the order of the orders. */
  const waiting: { readonly piece: number; readonly done: (isRight: boolean) => void }[] = []
  let windowAt = now()
  let windowBytes = 0

  const isRight = (piece: number, digest: Uint8Array) =>
    Buffer.compare(digest, hashes.subarray(piece * HASH_BYTES, (piece + 1) * HASH_BYTES)) === 0

  function startThread(): Worker {
    const worker = new Worker(new URL('./hash-worker.ts', import.meta.url), {
      name: 'hash',
      workerData: memory,
      resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 1 },
    })
    worker.on('message', (answer: HashAnswer) => {
      if (answer === 'up') {
        isUp = true
        return
      }
      const first = waiting.shift()
      first?.done(isRight(first.piece, answer))
    })
    worker.on('error', onFailure)
    worker.on('exit', (code) => {
      if (!isClosed) onFailure(new Error(`the hash thread ended with code ${code}`))
    })
    return worker
  }

  function noteSpeed(bytes: number): void {
    windowBytes += bytes
    const elapsedMs = now() - windowAt
    if (elapsedMs < WINDOW_MS) return
    if ((windowBytes * 1000) / elapsedMs > FAST) thread ??= startThread()
    windowAt += elapsedMs
    windowBytes = 0
  }

  return {
    verify: (piece, bytes, done) => {
      if (isClosed) return
      if (!isUp || bytes.buffer !== memory) {
        noteSpeed(bytes.length)
        done(isRight(piece, createHash('sha1').update(bytes).digest()))
        return
      }
      waiting.push({ piece, done })
      const order: HashOrder = { offset: bytes.byteOffset, length: bytes.length }
      thread?.postMessage(order)
    },
    close: () => {
      isClosed = true
      waiting.length = 0
      thread?.terminate().catch(() => undefined)
    },
  }
}
