// SPDX-License-Identifier: Apache-2.0
// Owns the limits on what a hostile peer may make the library read. Does not close connections; it says
// who is to be closed.
import { MAX_MESSAGE_BYTES } from '../wire/messages.ts'
import type { LibraryWire } from './types.ts'

/** Longest extension message (BEP 10): of PEX some thousand addresses, each of which is looked at. */
const MAX_EXTENDED_BYTES = 32 * 1024
/** All extended handshakes of a connection together: the library keeps every name that was in one. */
const MAX_HANDSHAKE_BYTES = 64 * 1024

/** Until the connection changes hands: a message of 4 GiB would be collected before it is looked at. */
export function limitMessages(wire: LibraryWire, onAbuse: (reason: string) => void): void {
  const refuse = (length: number) => onAbuse(`it announced a message of ${length} bytes`)
  const onMessageLength = wire._onMessageLength.bind(wire)
  wire._onMessageLength = (header) => {
    const length = new DataView(header.buffer, header.byteOffset, 4).getUint32(0)
    if (length > MAX_MESSAGE_BYTES) refuse(length)
    else onMessageLength(header)
  }
  // the first message of an incoming peer may have been announced already
  if (wire._parserSize > MAX_MESSAGE_BYTES) refuse(wire._parserSize)
}

/** Whoever parses them: the library handles all of them, and throws at some. */
export function limitExtensions(wire: LibraryWire, onAbuse: (reason: string) => void): void {
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
