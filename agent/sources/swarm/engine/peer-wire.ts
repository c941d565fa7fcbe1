// SPDX-License-Identifier: Apache-2.0
// Owns the interface between the engine and whatever carries its messages: a library's wire, or a
// simulated one. Does not know sockets.
import type { ClaimKind } from './origin/claim.ts'

/** What a wire tells the engine. */
export interface WireListener {
  onHave(piece: number): void
  /** Everything the peer has, replacing what was known: BITFIELD, HAVE ALL, HAVE NONE. */
  onBitfield(bits: Uint8Array): void
  onChoke(): void
  onUnchoke(): void
  onInterested(): void
  /** The peer tells who fetches which pieces from the origin (claims.ts). */
  onClaim(kind: ClaimKind, hops: number, pieces: readonly number[]): void
  /** A block came that is not, or no longer, asked for. */
  onUnasked(bytes: number): void
  /** @param reason why we closed it, if we did */
  onClose(reason?: string): void
}

/** Called once per request: with the block, or with null if it will not come over this wire. */
export type BlockCallback = (block: Uint8Array | null) => void

/** One connection to a peer after the handshake (BEP 3 messages). */
export interface PeerWire {
  /** 20 bytes as lower-case hex. */
  readonly peerId: string
  /** `host:port`, for logs. */
  readonly address: string
  /** Another ironswarm: it takes its share of the origin's pieces. */
  readonly isSharingOrigin: boolean
  /** How many requests the peer is willing to queue (BEP 10 `reqq`). */
  readonly maxRequests: number
  readonly isPeerChoking: boolean
  readonly isPeerInterested: boolean
  readonly isChoking: boolean
  /** Starts the flow of news; what was said before is repeated first. */
  listen(listener: WireListener): void
  request(piece: number, offset: number, length: number, callback: BlockCallback): void
  cancel(piece: number, offset: number, length: number): void
  have(piece: number): void
  /** Tells who fetches which pieces from the origin; nothing happens if the peer does not know of it. */
  claim(kind: ClaimKind, hops: number, pieces: readonly number[]): void
  choke(): void
  unchoke(): void
  setInterested(isInterested: boolean): void
  /** Drops the connection; `isBanned` also refuses to connect to this address again. */
  close(reason: string, isBanned: boolean): void
}
