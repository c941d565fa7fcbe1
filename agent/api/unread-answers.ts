// SPDX-License-Identifier: Apache-2.0
// Owns what has been answered and not been read yet: how much of it there may be, and for how long. Does
// not make answers (command-answers.ts).
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { KiB, MiB } from '../core/units.ts'

/** Of all connections together. A list has some KiB, and is read within milliseconds. */
const MOST_UNREAD_BYTES = 16 * MiB
/** Handed to a socket at once. With TLS that much is held twice. */
const SLICE_BYTES = 64 * KiB
/** A client that takes nothing for so long is cut off, ms: 64 KiB in it are the slowest rate. */
export const READ_DEADLINE_MS = 20_000
const SWEEP_MS = 5000

export interface UnreadAnswers extends Disposable {
  /** From a request on: its connection ends when what it is answered is not read. */
  watch(request: IncomingMessage, response: ServerResponse): void
  /** The answer has left, or nobody waits for it any more. */
  forget(response: ServerResponse): void
  /**
   * The body to answer with: in slices as the client takes them. Where too much is unread already, those
   * who have not read for longest are cut off.
   * @param isTrusted the client knows the token, and is cut off by the deadline alone
   */
  body(response: ServerResponse, document: Buffer, isTrusted: boolean): Buffer | Readable
}

interface Unread {
  readonly socket: Socket
  bytes: number
  isTrusted: boolean
  /** What the socket had passed on at `since`. */
  passedOn: string
  /** Of the last byte that went, ms. */
  since: number
}

/** @param now monotonic, ms */
export function createUnreadAnswers(now: () => number): UnreadAnswers {
  const unread = new Map<ServerResponse, Unread>()

  const makeRoom = (bytes: number) => {
    let sum = bytes
    for (const one of unread.values()) sum += one.bytes
    const slowest = [...unread.values()]
      .filter(({ isTrusted, bytes }) => !isTrusted && bytes > 0)
      .sort((a, b) => a.since - b.since)
    for (const one of slowest) {
      if (sum <= MOST_UNREAD_BYTES) return
      sum -= one.bytes
      one.bytes = 0
      one.socket.destroy()
    }
  }

  const sweep = () => {
    for (const [response, one] of unread) {
      // one without a socket waits for an earlier one, one without a head for its command
      const isUnderWay = response.socket !== null && response.headersSent
      const passedOn = `${one.socket.bytesWritten} ${one.socket.writableLength}`
      if (!isUnderWay || passedOn !== one.passedOn) {
        one.passedOn = passedOn
        one.since = now()
      } else if (now() - one.since >= READ_DEADLINE_MS) {
        one.socket.destroy()
      }
    }
  }
  const timer = setInterval(sweep, SWEEP_MS)
  timer.unref()

  return {
    watch: ({ socket }, response) => {
      unread.set(response, { socket, bytes: 0, isTrusted: false, passedOn: '', since: now() })
    },
    forget: (response) => void unread.delete(response),
    body: (response, document, isTrusted) => {
      const one = unread.get(response)
      if (one === undefined) return document
      makeRoom(document.length)
      Object.assign(one, { bytes: document.length, isTrusted, since: now() })
      if (document.length <= SLICE_BYTES) return document
      return Readable.from(
        slices(document, (left) => {
          one.bytes = left
          one.since = now()
        }),
        { objectMode: false, highWaterMark: SLICE_BYTES },
      )
    },
    [Symbol.dispose]: () => clearInterval(timer),
  }
}

function* slices(document: Buffer, onTaken: (left: number) => void): Generator<Buffer> {
  for (let at = 0; at < document.length; at += SLICE_BYTES) {
    onTaken(document.length - at)
    yield document.subarray(at, at + SLICE_BYTES)
  }
}
