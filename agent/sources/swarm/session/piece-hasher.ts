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
const THREAD = new URL('./hash-worker.ts', import.meta.url)

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

/** Without a thread as long as pieces come slowly. */
export function createPieceHasher(options: PieceHasherOptions): PieceHasher {
  return new AdaptivePieceHasher(options)
}

interface Waiting {
  readonly piece: number
  readonly done: (isRight: boolean) => void
}

class AdaptivePieceHasher implements PieceHasher {
  readonly #options: PieceHasherOptions
  #thread: Worker | undefined
  #isUp = false
  #isClosed = false
  /** In the order of the orders. */
  readonly #waiting: Waiting[] = []
  #windowAt: number
  #windowBytes = 0

  /** Of no receiver: whoever verifies is given it alone. */
  readonly verify = (piece: number, bytes: Uint8Array, done: (isRight: boolean) => void): void => {
    if (this.#isClosed) return
    if (!this.#isUp || bytes.buffer !== this.#options.memory) {
      this.#noteSpeed(bytes.length)
      done(this.#isRight(piece, createHash('sha1').update(bytes).digest()))
      return
    }
    this.#waiting.push({ piece, done })
    const order: HashOrder = { offset: bytes.byteOffset, length: bytes.length }
    this.#thread?.postMessage(order)
  }

  constructor(options: PieceHasherOptions) {
    this.#options = options
    this.#windowAt = options.now()
  }

  close(): void {
    this.#isClosed = true
    this.#waiting.length = 0
    this.#thread?.terminate().catch(() => undefined)
  }

  #isRight(piece: number, digest: Uint8Array): boolean {
    const expected = this.#options.hashes.subarray(piece * HASH_BYTES, (piece + 1) * HASH_BYTES)
    return Buffer.compare(digest, expected) === 0
  }

  #noteSpeed(bytes: number): void {
    this.#windowBytes += bytes
    const elapsedMs = this.#options.now() - this.#windowAt
    if (elapsedMs < WINDOW_MS) return
    if ((this.#windowBytes * 1000) / elapsedMs > FAST) this.#thread ??= this.#startThread()
    this.#windowAt += elapsedMs
    this.#windowBytes = 0
  }

  #startThread(): Worker {
    const { memory, onFailure } = this.#options
    const worker = new Worker(THREAD, {
      name: 'hash',
      workerData: memory,
      resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 1 },
    })
    worker.on('message', (answer: HashAnswer) => this.#onAnswer(answer))
    worker.on('error', onFailure)
    worker.on('exit', (code) => {
      if (!this.#isClosed) onFailure(new Error(`the hash thread ended with code ${code}`))
    })
    return worker
  }

  #onAnswer(answer: HashAnswer): void {
    if (answer === 'up') {
      this.#isUp = true
      return
    }
    const first = this.#waiting.shift()
    first?.done(this.#isRight(first.piece, answer))
  }
}
