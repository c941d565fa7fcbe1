// SPDX-License-Identifier: Apache-2.0
// Owns our extension (BEP 10) by which nodes tell each other who fetches which pieces from the origin, on
// one connection. Does not know what follows from it; engine/origin/claims.ts does.
import {
  CLAIM_EXTENSION,
  type ClaimMessage,
  decodeClaim,
  encodeClaim,
} from '../wire/claim-message.ts'
import type { LibraryWire } from './types.ts'

/** Claims that wait for the peer's extended handshake. */
const MAX_EARLY = 16

export interface ClaimExtension {
  /** Tells the peer, once it has said that it knows of this; nothing happens if it does not. */
  tell(message: ClaimMessage): void
}

export interface ClaimExtensionDeps {
  readonly wire: LibraryWire
  /** Writes a whole message; it may be lost. */
  send(bytes: Uint8Array): void
  onClaim(message: ClaimMessage): void
  onAbuse(reason: string): void
}

/** Call before the extended handshake. */
export function offerClaims({ wire, send, onClaim, onAbuse }: ClaimExtensionDeps): ClaimExtension {
  const early: ClaimMessage[] = []
  let isIntroduced = false

  function hear(payload: Uint8Array): void {
    const claim = decodeClaim(payload)
    if (claim === undefined) onAbuse('its claim makes no sense')
    else onClaim(claim)
  }

  function tellNow(message: ClaimMessage): void {
    const id = wire.peerExtendedMapping[CLAIM_EXTENSION] ?? 0
    if (id > 0 && id < 256) send(encodeClaim(id, message))
  }

  class Claims {
    get name(): string {
      return CLAIM_EXTENSION
    }
    onMessage(payload: Uint8Array): void {
      hear(payload)
    }
  }
  wire.use(Claims)
  wire.once('extended', () => {
    isIntroduced = true
    for (const message of early.splice(0)) tellNow(message)
  })
  return {
    tell: (message) => {
      if (isIntroduced) tellNow(message)
      else if (early.length < MAX_EARLY) early.push(message)
    },
  }
}
