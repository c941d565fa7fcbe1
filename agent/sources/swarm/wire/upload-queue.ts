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

export function createUploadQueue(deps: UploadQueueDeps): UploadQueue {
  const queue: BlockRequest[] = []
  const shortOnes = new Allowance(SHORT_REQUESTS, deps.now)
  let readingBytes = 0
  let isPumping = false
  let retry: NodeJS.Timeout | undefined

  function pump(): void {
    if (isPumping) return
    isPumping = true
    clearTimeout(retry)
    retry = undefined
    // a block in memory is sent before `serve` returns: no recursion
    for (let next = queue[0]; next !== undefined && hasRoom(next); next = queue[0]) {
      const isShort = next.length < BLOCK_BYTES
      if ((isShort && !shortOnes.hasOne()) || !deps.budget.take(next.length)) {
        retry = setTimeout(pump, RETRY_MS)
        break
      }
      if (isShort) shortOnes.take()
      queue.shift()
      serve(next)
    }
    isPumping = false
  }

  function hasRoom({ length }: BlockRequest): boolean {
    const waitingBytes = readingBytes + deps.bufferedBytes()
    // the longest only by itself
    return waitingBytes < (length > SEND_WINDOW_BYTES ? 1 : SEND_WINDOW_BYTES)
  }

  function serve(request: BlockRequest): void {
    // at least: a whole piece may be read for one byte
    const bytes = Math.max(request.length, BLOCK_BYTES)
    readingBytes += bytes
    deps.send(request, () => {
      readingBytes -= bytes
      pump()
    })
  }

  function push(request: BlockRequest): void {
    if (request.length === 0 || request.length > MAX_REQUEST_BYTES) {
      deps.onAbuse(`it asked for a block of ${request.length} bytes`)
    } else if (queue.length >= MAX_QUEUED) {
      deps.onAbuse(`it has ${queue.length} requests outstanding`)
    } else if (!deps.isServable(request)) {
      deps.reject(request)
    } else {
      queue.push(request)
      pump()
    }
  }

  function cancel({ piece, offset, length }: BlockRequest): void {
    const at = queue.findIndex(
      (each) => each.piece === piece && each.offset === offset && each.length === length,
    )
    if (at < 0) return
    const [cancelled] = queue.splice(at, 1)
    // BEP 6: a cancelled request is answered all the same
    if (cancelled) deps.reject(cancelled)
  }

  function clear(): void {
    clearTimeout(retry)
    for (const request of queue.splice(0)) deps.reject(request)
  }

  return { push, cancel, clear, pump }
}
