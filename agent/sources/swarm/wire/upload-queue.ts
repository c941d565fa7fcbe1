// SPDX-License-Identifier: Apache-2.0
// Owns the blocks a peer asked us for: hands them to the socket only while its send buffer is short, so
// that our own requests and HAVEs never wait behind bulk upload. Does not choose whom to serve.
import type { TokenBucket } from '../engine/token-bucket.ts'
import { BLOCK_BYTES } from '../torrent/piece-layout.ts'
import { Allowance, type Rate } from './message-rates.ts'

/** libtorrent, transmission and aria2 queue no more than 2000; beyond it a peer means harm. */
const MAX_QUEUED = 2048
const MAX_REQUEST_BYTES = 128 * 1024
/** Bytes waiting in user space; the kernel's own buffer comes on top. */
const SEND_WINDOW_BYTES = 32 * 1024
const RETRY_MS = 20
/** Requests for less than a block: a whole piece may be read for each, and one torrent has one such block. */
const SHORT_REQUESTS: Rate = { perSecond: 4, burst: 32 }

export interface BlockRequest {
  readonly piece: number
  readonly offset: number
  readonly length: number
}

export interface UploadQueueDeps {
  readonly budget: TokenBucket
  /** Milliseconds; may start anywhere. */
  readonly now: () => number
  /** Bytes that have not reached the kernel yet. */
  bufferedBytes(): number
  isServable(request: BlockRequest): boolean
  /** Reads the block and hands it to the socket, now or later; calls `onDone` once, also if it cannot. */
  send(request: BlockRequest, onDone: () => void): void
  reject(request: BlockRequest): void
  /** The peer breaks the protocol. */
  onAbuse(reason: string): void
}

export interface UploadQueue {
  push(request: BlockRequest): void
  cancel(request: BlockRequest): void
  /** Rejects everything that waits: we choke the peer, or it is gone. */
  clear(): void
  /** The socket has drained. */
  pump(): void
}

/** The queue of one connection. */
export function createUploadQueue(deps: UploadQueueDeps): UploadQueue {
  return new PacedUploadQueue(deps)
}

class PacedUploadQueue implements UploadQueue {
  readonly #deps: UploadQueueDeps
  readonly #queue: BlockRequest[] = []
  readonly #shortOnes: Allowance
  #readingBytes = 0
  #isPumping = false
  #retry: NodeJS.Timeout | undefined

  constructor(deps: UploadQueueDeps) {
    this.#deps = deps
    this.#shortOnes = new Allowance(SHORT_REQUESTS, deps.now)
  }

  push(request: BlockRequest): void {
    const { onAbuse, isServable, reject } = this.#deps
    if (request.length === 0 || request.length > MAX_REQUEST_BYTES) {
      onAbuse(`it asked for a block of ${request.length} bytes`)
    } else if (this.#queue.length >= MAX_QUEUED) {
      onAbuse(`it has ${this.#queue.length} requests outstanding`)
    } else if (!isServable(request)) {
      reject(request)
    } else {
      this.#queue.push(request)
      this.pump()
    }
  }

  cancel({ piece, offset, length }: BlockRequest): void {
    const at = this.#queue.findIndex(
      (each) => each.piece === piece && each.offset === offset && each.length === length,
    )
    if (at < 0) return
    const [cancelled] = this.#queue.splice(at, 1)
    // BEP 6: a cancelled request is answered all the same
    if (cancelled) this.#deps.reject(cancelled)
  }

  clear(): void {
    clearTimeout(this.#retry)
    for (const request of this.#queue.splice(0)) this.#deps.reject(request)
  }

  pump(): void {
    if (this.#isPumping) return
    this.#isPumping = true
    clearTimeout(this.#retry)
    this.#retry = undefined
    // a block in memory is sent before `#serve` returns: no recursion
    for (let next = this.#queue[0]; next && this.#hasRoom(next); next = this.#queue[0]) {
      if (!this.#mayServe(next)) {
        this.#retry = setTimeout(() => this.pump(), RETRY_MS)
        break
      }
      this.#queue.shift()
      this.#serve(next)
    }
    this.#isPumping = false
  }

  #hasRoom({ length }: BlockRequest): boolean {
    const waitingBytes = this.#readingBytes + this.#deps.bufferedBytes()
    // the longest only by itself
    return waitingBytes < (length > SEND_WINDOW_BYTES ? 1 : SEND_WINDOW_BYTES)
  }

  /** Within the limits; what is served counts from now on. */
  #mayServe({ length }: BlockRequest): boolean {
    const isShort = length < BLOCK_BYTES
    if (isShort && !this.#shortOnes.hasOne()) return false
    if (!this.#deps.budget.take(length)) return false
    if (isShort) this.#shortOnes.take()
    return true
  }

  #serve(request: BlockRequest): void {
    // at least: a whole piece may be read for one byte
    const bytes = Math.max(request.length, BLOCK_BYTES)
    this.#readingBytes += bytes
    this.#deps.send(request, () => {
      this.#readingBytes -= bytes
      this.pump()
    })
  }
}
