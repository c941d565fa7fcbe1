// SPDX-License-Identifier: Apache-2.0
// Owns giving the info dictionary to peers that begin with a magnet link (BEP 9), from one copy for all
// connections. In the place of the library's own, which keeps one for each. Does not ask for one.
import bencode from 'bencode'
import { isObject } from '../../../core/json.ts'
import { BLOCK_BYTES } from '../torrent/piece-layout.ts'
import type { LibraryWire } from './types.ts'

const METADATA_EXTENSION = 'ut_metadata'
/** A request is a small dictionary. */
const MAX_REQUEST_BYTES = 256
const KINDS = { request: 0, data: 1, reject: 2 } as const

export interface MetadataExtensionDeps {
  readonly wire: LibraryWire
  /** The info dictionary as it stands in the torrent. */
  readonly info: Uint8Array
  /** Room for this many bytes towards the peer: else it is refused, and may ask again. */
  hasRoom(bytes: number): boolean
}

/** Call before the extended handshake. */
export function offerMetadata({ wire, info, hasRoom }: MetadataExtensionDeps): void {
  wire.extendedHandshake['metadata_size'] = info.length

  function answer(piece: number): void {
    const part = info.subarray(piece * BLOCK_BYTES, (piece + 1) * BLOCK_BYTES)
    if (part.length === 0 || !hasRoom(part.length)) {
      wire.extended(METADATA_EXTENSION, bencode.encode({ msg_type: KINDS.reject, piece }))
      return
    }
    const header = { msg_type: KINDS.data, piece, total_size: info.length }
    wire.extended(METADATA_EXTENSION, Buffer.concat([bencode.encode(header), part]))
  }

  class Metadata {
    get name(): string {
      return METADATA_EXTENSION
    }
    onMessage(payload: Uint8Array): void {
      const piece = requestedPiece(payload)
      // throws if the peer has not named the extension
      if (piece !== undefined) answer(piece)
    }
    /** The library offers what it has: nothing. */
    setMetadata(): void {}
  }
  wire.use(Metadata)
}

/** @returns undefined for what is no request */
function requestedPiece(payload: Uint8Array): number | undefined {
  if (payload.length > MAX_REQUEST_BYTES) return undefined
  const message: unknown = bencode.decode(payload)
  if (!isObject(message) || message['msg_type'] !== KINDS.request) return undefined
  const { piece } = message
  return typeof piece === 'number' && Number.isSafeInteger(piece) && piece >= 0 ? piece : undefined
}
