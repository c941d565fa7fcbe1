// SPDX-License-Identifier: Apache-2.0
// Owns reading a socket in the amounts a protocol asks for. Does not know the protocol.
import type { Socket } from 'node:net'

export interface SocketBytes {
  /** Fills `target`. Rejects where the socket ends or fails before, and after the silence it was made with. */
  readInto(target: Uint8Array): Promise<void>
  /** The next `length` bytes, in memory of their own. */
  read(length: number): Promise<Buffer>
}

/**
 * One read at a time. The socket is paused while nothing is asked for, so that its sender waits too.
 * @param silenceMs longest time without a byte while a read waits, ms; a longer one destroys the socket
 */
export function createSocketBytes(socket: Socket, silenceMs: number): SocketBytes {
  let failure: Error | undefined
  let wake: (() => void) | undefined
  const fail = (error: Error) => {
    failure ??= error
    wake?.()
  }
  socket.on('readable', () => wake?.())
  socket.once('error', fail)
  socket.once('close', () => fail(new Error('the connection was closed')))
  socket.once('end', () => fail(new Error('the other side ended the connection')))

  const more = async () => {
    const timer = setTimeout(
      () => socket.destroy(new Error(`not a byte for ${silenceMs / 1000} s`)),
      silenceMs,
    )
    try {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    } finally {
      wake = undefined
      clearTimeout(timer)
    }
  }
  const readInto = async (target: Uint8Array) => {
    for (let at = 0; at < target.length; ) {
      const wanted = Math.min(target.length - at, socket.readableLength)
      const part: Buffer | null = wanted > 0 ? socket.read(wanted) : null
      if (part) {
        target.set(part, at)
        at += part.length
        continue
      }
      if (failure) throw failure
      // asks the stream for more: without it a paused socket is never read
      socket.read(0)
      await more()
    }
  }
  return {
    readInto,
    read: async (length) => {
      const bytes = Buffer.alloc(length)
      await readInto(bytes)
      return bytes
    },
  }
}
