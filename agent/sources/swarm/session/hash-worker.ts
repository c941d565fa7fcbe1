// SPDX-License-Identifier: Apache-2.0
// Owns the thread that computes SHA-1 over the shared memory, one order after the other. Does not know
// pieces or what they should be.
import { createHash } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'

/** Bytes of the shared memory. */
export interface HashOrder {
  readonly offset: number
  readonly length: number
}

/** Ready for orders, or the digest for the oldest unanswered one. */
export type HashAnswer = 'up' | Uint8Array

const port = parentPort
if (port === null) throw new Error('hash-worker.ts runs as a worker thread only')
const memory = workerData as SharedArrayBuffer
const answer = (message: HashAnswer) => port.postMessage(message)

port.on('message', ({ offset, length }: HashOrder) => {
  answer(
    createHash('sha1')
      .update(new Uint8Array(memory, offset, length))
      .digest(),
  )
})
answer('up')
