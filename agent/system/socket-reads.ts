// SPDX-License-Identifier: Apache-2.0
// Owns how bytes leave a TCP socket: in large reads into a few reused buffers, because Node's fresh
// 64 KiB buffer per read costs twice the CPU of the whole transfer. Does not know HTTP.
import type { OnReadOpts, Socket } from 'node:net'

const READ_BYTES = 256 * 1024
/** One buffer is parsed, one may wait in the stream, one is being filled. */
const RING = 3

export interface SocketReads {
  /** The `onread` option of net.connect. */
  readonly onread: OnReadOpts
  /** Names the socket once it exists. */
  attach(socket: Socket): void
}

/**
 * Reads of up to 256 KiB into a ring of three buffers. What the stream hands out is only valid until the
 * next turn of the event loop: its reader must have copied it by then. That holds for undici's HTTP/1
 * parser, which takes a buffer out of the stream and parses it in one go: the kernel is read again only
 * after the stream has been emptied, and while the parser is paused at most one unparsed rest and one
 * further buffer wait in the stream, so the third is always the one being filled.
 */
export function createSocketReads(): SocketReads {
  const ring = Array.from({ length: RING }, () => Buffer.allocUnsafeSlow(READ_BYTES))
  let turn = 0
  let socket: Socket | undefined
  return {
    attach: (opened) => {
      socket = opened
    },
    onread: {
      buffer: () => ring[turn++ % RING] as Buffer,
      callback: (length, bytes) => {
        // a false answer stops the reading until the stream is emptied
        socket?.push(bytes.subarray(0, length))
        return socket !== undefined && socket.readableLength === 0
      },
    },
  }
}
