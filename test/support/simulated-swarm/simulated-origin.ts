// SPDX-License-Identifier: Apache-2.0
// Owns the origin of a simulated swarm as one node sees it: a connection for each range, shared cables, and
// what a test wants to go wrong. Does not own the cables.
import { AgentError } from '../../../agent/core/errors.ts'
import type { Origin } from '../../../agent/sources/swarm/engine/origin/origin.ts'
import { BLOCK_BYTES } from '../../../agent/sources/swarm/torrent/piece-layout.ts'
import type { Connection } from './links.ts'
import type { VirtualTime } from './virtual-time.ts'

export type OriginAnswer = 'right' | 'wrong' | 'refused'

export interface SimulatedOriginOptions {
  readonly time: VirtualTime
  /** One way. */
  readonly latencyMs: number
  readonly pieceLength: number
  /** The bytes of a piece are its number. */
  readonly hasContents: boolean
  /** A fresh connection from the origin to the node. */
  connect(): Connection
  answer(piece: number): OriginAnswer
}

const HTTP_REQUEST_MS = 1

export function createSimulatedOrigin(options: SimulatedOriginOptions): Origin {
  const { time, latencyMs } = options

  function read(length: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const connection = options.connect()
      let left = length
      const abort = () => {
        connection.queue.length = 0
        time.notePromise()
        reject(signal.reason)
      }
      signal.addEventListener('abort', abort, { once: true })
      const arrive = (bytes: number) => {
        left -= bytes
        if (left > 0 || signal.aborted) return
        signal.removeEventListener('abort', abort)
        time.notePromise()
        resolve()
      }
      time.after(HTTP_REQUEST_MS + latencyMs, () => {
        for (let at = 0; at < length && !signal.aborted; at += BLOCK_BYTES) {
          const bytes = Math.min(BLOCK_BYTES, length - at)
          connection.send({ bytes, arrive: () => arrive(bytes) })
        }
      })
    })
  }

  return {
    maxStrikes: 3,
    reportCorrupt: () => undefined,
    readRange: async ({ offset, length }, target, signal) => {
      const piece = offset / options.pieceLength
      const answer = options.answer(piece)
      if (answer === 'refused') {
        await time.pass(HTTP_REQUEST_MS)
        throw new AgentError('ImageDownloadError', 'refused', { kind: 'transient' })
      }
      await read(length, signal)
      if (options.hasContents) target.fill(answer === 'right' ? piece : piece + 1)
    },
  }
}
