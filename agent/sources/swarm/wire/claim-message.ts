// SPDX-License-Identifier: Apache-2.0
// Owns the bytes of a claim (engine/origin/claims.ts) between ironswarm nodes: an extension message (BEP 10) of
// kind, hops and pieces. Does not send.
import {
  CLAIM_HOPS,
  CLAIM_KINDS,
  type ClaimKind,
  MAX_CLAIMS_PER_MESSAGE,
} from '../engine/origin/claim.ts'
import { MESSAGE_IDS, readUint32, writeUint32 } from './messages.ts'

/** Its name in the extended handshake. */
export const CLAIM_EXTENSION = 'ironswarm_claim'
/** Length, id and extension's id. */
const FRAME_BYTES = 6
/** Kind and hops, a byte each. */
const HEADER_BYTES = 2

export interface ClaimMessage {
  readonly kind: ClaimKind
  readonly hops: number
  readonly pieces: readonly number[]
}

/** The whole message. @param extensionId what the peer has called the extension */
export function encodeClaim(extensionId: number, { kind, hops, pieces }: ClaimMessage): Uint8Array {
  const bytes = new Uint8Array(FRAME_BYTES + HEADER_BYTES + 4 * pieces.length)
  writeUint32(bytes, 0, bytes.length - 4)
  bytes.set([MESSAGE_IDS.extended, extensionId, kind, hops], 4)
  for (const [index, piece] of pieces.entries()) {
    writeUint32(bytes, FRAME_BYTES + HEADER_BYTES + 4 * index, piece)
  }
  return bytes
}

/** @param payload what follows the extension's id @returns undefined if it makes no sense */
export function decodeClaim(payload: Uint8Array): ClaimMessage | undefined {
  const count = (payload.length - HEADER_BYTES) / 4
  if (!Number.isInteger(count) || count < 1 || count > MAX_CLAIMS_PER_MESSAGE) return undefined
  const [kind, hops] = payload as unknown as [number, number]
  if (!isKind(kind) || hops < 1 || hops > CLAIM_HOPS) return undefined
  const pieces = Array.from({ length: count }, (_, index) =>
    readUint32(payload, HEADER_BYTES + 4 * index),
  )
  return { kind, hops, pieces }
}

function isKind(value: number): value is ClaimKind {
  return Object.values<number>(CLAIM_KINDS).includes(value)
}
