// SPDX-License-Identifier: Apache-2.0
// Owns what a claim may say: its kinds and limits, which are the same on the wire and in the engine. Does
// not send or believe one.

/** `begun`: I am fetching these; `landed`: I have them; `dropped`: I have not got them and stopped. */
export const CLAIM_KINDS = { begun: 0, landed: 1, dropped: 2 } as const
export type ClaimKind = (typeof CLAIM_KINDS)[keyof typeof CLAIM_KINDS]

/** A message travels this far, each node passing it on once to a few of its peers. */
export const CLAIM_HOPS = 4
/** Most pieces in one message. */
export const MAX_CLAIMS_PER_MESSAGE = 64
