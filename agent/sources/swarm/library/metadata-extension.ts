// SPDX-License-Identifier: Apache-2.0
// Owns giving the info dictionary to peers that begin with a magnet link (BEP 9), from one copy for all
// connections. In the place of the library's own, which keeps one for each. Does not ask for one.
import { BLOCK_BYTES } from '../torrent/piece-layout.ts'
import type { LibraryWire } from './types.ts'

const METADATA_EXTENSION = 'ut_metadata'
/** Bencoded (BEP 3): the keys have one order, and numbers one form. */
const REQUEST = /^d8:msg_typei0e5:piecei(0|[1-9]\d{0,5})ee$/
const MAX_REQUEST_BYTES = 40

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
      wire.extended(METADATA_EXTENSION, Buffer.from(`d8:msg_typei2e5:piecei${piece}ee`))
      return
    }
    const header = `d8:msg_typei1e5:piecei${piece}e10:total_sizei${info.length}ee`
    wire.extended(METADATA_EXTENSION, Buffer.concat([Buffer.from(header), part]))
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
  const piece = REQUEST.exec(Buffer.from(payload).toString('latin1'))?.[1]
  return piece === undefined ? undefined : Number(piece)
}
