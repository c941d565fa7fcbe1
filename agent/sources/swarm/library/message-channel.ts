// SPDX-License-Identifier: Apache-2.0
// Owns the bytes of one connection: read and written by wire/ as soon as the library gives the socket up,
// and within limits on what a hostile peer may make us read. Does not know what messages mean.
import { type MessageHandler, MessageParser } from '../wire/message-parser.ts'
import type { MessageRates } from '../wire/message-rates.ts'
import { type ChunkPool, createChunkPool, MessageWriter } from '../wire/message-writer.ts'
import { MAX_MESSAGE_BYTES, MESSAGE_IDS } from '../wire/messages.ts'
import { SILENT_MS, UNREAD_MS, watchSilence } from '../wire/silence-watch.ts'
import { createReadBuffer, prepareTakeover } from './socket-takeover.ts'
import type { LibraryPeer, LibraryWire } from './types.ts'

/** Longest extension message (BEP 10): of PEX some thousand addresses, each of which is looked at. */
const MAX_EXTENDED_BYTES = 32 * 1024
/** All extended handshakes of a connection together: the library keeps every name that was in one. */
const MAX_HANDSHAKE_BYTES = 64 * 1024

/** What the connections of a client share: each uses it for the length of a call, or gives it back. */
export interface ConnectionMemory {
  readonly chunks: ChunkPool
  readonly readBuffer: Uint8Array
}

export function createConnectionMemory(): ConnectionMemory {
  return { chunks: createChunkPool(), readBuffer: createReadBuffer() }
}

export interface MessageChannelDeps {
  readonly wire: LibraryWire
  readonly peer: LibraryPeer
  readonly memory: ConnectionMemory
  readonly handler: MessageHandler
  readonly rates: MessageRates
  readonly pieceCount: number
  /** A write has reached the kernel: there may be room for more. */
  onDrain(): void
  /** Nothing more will come of the connection. */
  onFailure(reason: string): void
}

export interface MessageChannel {
  readonly writer: MessageWriter
  /** From now on messages come here, those first that the library has not handled yet. */
  begin(): void
  close(): void
}

/** Call as soon as the wire is there. */
export function createMessageChannel(deps: MessageChannelDeps): MessageChannel {
  const { wire, peer, memory, handler, onFailure } = deps
  const parser = new MessageParser(handler, deps.rates)
  const silence = watchSilence(SILENT_MS, () => onFailure('nothing has come from it for minutes'))
  let write: (bytes: Uint8Array, onWritten: () => void) => void = () => undefined
  const writer = new MessageWriter({
    chunks: memory.chunks,
    pieceCount: deps.pieceCount,
    write: (bytes, onWritten) => write(bytes, onWritten),
    onDrain: () => {
      unread.heard()
      deps.onDrain()
    },
    onUnread: onFailure,
  })
  const unread = watchSilence(
    UNREAD_MS,
    () => onFailure(`it has read nothing for ${UNREAD_MS / 1000} s`),
    () => writer.unsentBytes === 0,
  )
  const takeover = prepareTakeover({
    wire,
    peer,
    readBuffer: memory.readBuffer,
    onBytes: (bytes) => {
      silence.heard()
      parser.push(bytes)
    },
    onLibraryMessage: (bytes) => writer.raw(bytes),
    onSocket: (socket) => {
      write = (bytes, onWritten) => void socket.write(bytes, onWritten)
      writer.open()
    },
    onFailure,
  })
  return {
    writer,
    begin: () => takeover.begin(),
    close: () => {
      silence.stop()
      unread.stop()
      parser.stop()
      writer.close()
    },
  }
}

/**
 * Keeps the library from reading more than there can be sense in.
 * @param onAbuse who is closed for it; perhaps at once
 */
export function limitReading(
  wire: LibraryWire,
  rates: MessageRates,
  onAbuse: (reason: string) => void,
): void {
  limitMessages(wire, rates, onAbuse)
  limitExtensions(wire, onAbuse)
}

/** Until the connection changes hands: a message of 4 GiB would be collected before it is looked at. */
function limitMessages(
  wire: LibraryWire,
  rates: MessageRates,
  onAbuse: (reason: string) => void,
): void {
  const refuse = (length: number) => onAbuse(`it announced a message of ${length} bytes`)
  const onMessageLength = wire._onMessageLength.bind(wire)
  wire._onMessageLength = (header) => {
    const length = new DataView(header.buffer, header.byteOffset, 4).getUint32(0)
    if (length > MAX_MESSAGE_BYTES) refuse(length)
    // of which kind the library will see: as many as of that of which there may be most
    else if (!rates.admits(MESSAGE_IDS.have)) onAbuse('it sends too many messages at once')
    else onMessageLength(header)
  }
  // the first message of an incoming peer may have been announced already
  if (wire._parserSize > MAX_MESSAGE_BYTES) refuse(wire._parserSize)
}

/** Whoever parses them: the library handles all of them, and throws at some. */
function limitExtensions(wire: LibraryWire, onAbuse: (reason: string) => void): void {
  let handshakeBytes = 0
  const onExtended = wire._onExtended.bind(wire)
  wire._onExtended = (id, payload) => {
    if (id === 0) handshakeBytes += payload.length
    if (payload.length > MAX_EXTENDED_BYTES || handshakeBytes > MAX_HANDSHAKE_BYTES) {
      onAbuse(`its extension messages ${id} are too long`)
      return
    }
    try {
      onExtended(id, payload)
    } catch {
      onAbuse(`its extension message ${id} makes no sense`)
    }
  }
}
