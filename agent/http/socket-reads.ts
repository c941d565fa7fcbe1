// SPDX-License-Identifier: Apache-2.0
// Owns how bytes leave a socket: in large reads into reused buffers, because Node's fresh buffer for
// every read (64 KiB of TCP, 16 KiB of TLS) costs more CPU than the transfer. Does not know HTTP.
import type { OnReadOpts, Socket } from 'node:net'
import { KiB } from '../core/units.ts'
import type { AnswerMender } from './answer-mender.ts'

/** How large a slab is, and what room is not worth a read any more; a TLS record needs 16 KiB. */
const SIZES = {
  large: { slabBytes: 256 * KiB, leastRoomBytes: 64 * KiB },
  small: { slabBytes: 32 * KiB, leastRoomBytes: 16 * KiB },
} as const
/** Slabs kept for reuse; two are enough unless the reader pauses. */
const KEPT_SLABS = 4

export interface SocketReads {
  /** The `onread` option of net.connect and tls.connect. */
  readonly onread: OnReadOpts
  /** Names the socket once it exists. */
  attach(socket: Socket): void
}

/**
 * Reads into slabs that are used again once nothing of them is left in the stream. So what the stream
 * hands out is valid until its reader returns to the event loop, which is all that undici's HTTP/1
 * parser needs: it takes everything out of the stream, parses it in the same turn, and puts what it
 * could not parse (a paused body) back. A reader that keeps what it was handed must copy it.
 * @param mender what is read goes through it
 * @param size `small` for many connections on which little comes
 */
export function createSocketReads(
  mender?: AnswerMender,
  size: keyof typeof SIZES = 'large',
): SocketReads {
  const { slabBytes, leastRoomBytes } = SIZES[size]
  let socket: Socket | undefined
  let slab: Buffer = Buffer.allocUnsafeSlow(slabBytes)
  let used = 0
  /** Full slabs of which the stream may still hold something. */
  let lent: Buffer[] = []
  let free: Buffer[] = []

  return {
    attach: (opened) => {
      socket = opened
    },
    onread: {
      buffer: () => {
        if (slabBytes - used < leastRoomBytes) {
          lent.push(slab)
          slab = free.pop() ?? Buffer.allocUnsafeSlow(slabBytes)
          used = 0
        }
        return slab.subarray(used)
      },
      callback: (length, bytes) => {
        if (!socket) return false
        if (socket.readableLength === 0) {
          free = [...free, ...lent].slice(0, KEPT_SLABS)
          lent = []
        }
        used += length
        const read = bytes.subarray(0, length)
        // a false answer stops the reading until the stream is asked for more
        if (!mender) return socket.push(read)
        let wantsMore = true
        for (const part of mender.mend(read)) wantsMore = socket.push(part)
        return wantsMore
      },
    },
  }
}
