// SPDX-License-Identifier: Apache-2.0
// Owns the change of hands of a connection: the library has done the handshake; from then on its bytes
// are read and written here, past the library's streams. Does not parse.
import { type OnReadOpts, Socket } from 'node:net'
import type { LibraryPeer, LibrarySocket, LibraryWire, SocketHandle } from './types.ts'

/** A read brings what the kernel has; one buffer serves all connections, because each read is used up. */
const READ_BYTES = 256 * 1024
/** For the handshake to reach the kernel. */
const PATIENCE_MS = 10_000
const LOOK_MS = 5

export interface TakeoverDeps {
  readonly wire: LibraryWire
  readonly peer: LibraryPeer
  /** Shared by the connections of a thread. */
  readonly readBuffer: Uint8Array
  /** Bytes from the peer, in order; valid during the call only. */
  onBytes(bytes: Uint8Array): void
  /** A message the library wants to send. */
  onLibraryMessage(bytes: Uint8Array): void
  /** The socket is ours: what is written to it follows what the library said. */
  onSocket(socket: Socket): void
  onFailure(reason: string): void
}

export interface Takeover {
  /** From now on. */
  begin(): void
}

export function createReadBuffer(): Uint8Array {
  return new Uint8Array(new ArrayBuffer(READ_BYTES))
}

/** Call as soon as the wire is there: it has to see everything that goes out. */
export function prepareTakeover(deps: TakeoverDeps): Takeover {
  return new SocketTakeover(deps)
}

class SocketTakeover implements Takeover {
  readonly #deps: TakeoverDeps
  readonly #unsentBytes: () => number
  #isOver = false

  constructor(deps: TakeoverDeps) {
    this.#deps = deps
    this.#unsentBytes = meterStreams(deps.wire, deps.peer)
    deps.wire.once('close', () => {
      this.#isOver = true
    })
  }

  begin(): void {
    const { wire, peer, onBytes } = this.#deps
    const connection = peer.conn
    if (connection === null || this.#isOver) return
    this.#takeMessages()
    // the bytes that the library has not handled yet come first
    const rest = takeUnparsed(wire)
    wire._write = (bytes, done) => {
      onBytes(bytes)
      done(null)
    }
    onBytes(rest)
    this.#awaitSent(connection, performance.now() + PATIENCE_MS)
  }

  /** Those of the library, before they reach its streams. */
  #takeMessages(): void {
    const { wire, onLibraryMessage } = this.#deps
    const push = wire.push.bind(wire)
    wire.push = (bytes) => {
      if (bytes === null) return push(bytes)
      onLibraryMessage(bytes)
      return true
    }
  }

  /** Until all that the library has said is with the kernel. */
  #awaitSent(connection: LibrarySocket, until: number): void {
    if (this.#isOver || connection.destroyed) return
    if (this.#unsentBytes() === 0 && connection.writableLength === 0) this.#detach(connection)
    else if (performance.now() > until) this.#deps.onFailure('it does not read our handshake')
    else setTimeout(() => this.#awaitSent(connection, until), LOOK_MS)
  }

  #detach(connection: LibrarySocket): void {
    connection.unpipe()
    // what is in the library's streams arrives in microtasks
    setImmediate(() => {
      if (this.#isOver || connection.destroyed) return
      const { _handle: handle } = connection
      const rest = connection.read()
      if (handle === null || connection.readableEnded || connection._readableState.ended) {
        connection.destroy()
        return
      }
      handle.readStop()
      handle.reading = false
      connection._handle = null
      if (rest !== null) this.#deps.onBytes(rest)
      this.#deps.onSocket(this.#adopt(handle, connection))
    })
  }

  /** A socket of ours on the library's handle; each ends with the other. */
  #adopt(handle: SocketHandle, connection: LibrarySocket): Socket {
    const { readBuffer, onBytes } = this.#deps
    const onread: OnReadOpts = {
      buffer: readBuffer,
      callback: (length, bytes) => {
        onBytes(bytes.subarray(0, length))
        return true
      },
    }
    const socket = new Socket({ handle, onread } as object)
    socket.setNoDelay(true)
    // the library learns of the end from the socket it knows
    socket.on('error', () => undefined)
    socket.once('end', () => connection.destroy())
    socket.once('close', () => connection.destroy())
    connection.once('close', () => socket.destroy())
    return socket
  }
}

/** The library may have read the length of a message and wait for the rest. */
function takeUnparsed(wire: LibraryWire): Uint8Array {
  const [buffered] = wire._buffer
  const bytes = buffered ?? new Uint8Array(0)
  wire._buffer = []
  wire._bufferSize = 0
  if (wire._parser !== wire._onMessage) return bytes
  const whole = new Uint8Array(4 + bytes.length)
  new DataView(whole.buffer).setUint32(0, wire._parserSize)
  whole.set(bytes, 4)
  return whole
}

/** Bytes between the wire and the library's socket. */
function meterStreams(wire: LibraryWire, peer: LibraryPeer): () => number {
  let pushedBytes = 0
  let passedBytes = 0
  const push = wire.push.bind(wire)
  wire.push = (bytes) => {
    pushedBytes += bytes?.length ?? 0
    return push(bytes)
  }
  peer.on('upload', (bytes) => {
    passedBytes += bytes
  })
  return () => Math.max(0, pushedBytes - passedBytes)
}
