// SPDX-License-Identifier: Apache-2.0
// Owns the states of a piece and which may follow which (STATE.md). Does not know what state a piece is in;
// the picker does.

/**
 * Nobody fetches it · memory is being filled, by peers or by the origin · all bytes are there and are
 * hashed · the hash is right, on its way to the disk · on the disk · on the disk, another source says so.
 */
export const PIECE_STATES = {
  missing: 0,
  downloading: 1,
  hashing: 2,
  storing: 3,
  have: 4,
  unverified: 5,
} as const
export type PieceState = (typeof PIECE_STATES)[keyof typeof PIECE_STATES]
const { missing, downloading, hashing, storing, have, unverified } = PIECE_STATES

/** What is said again of a piece on the disk, or of a missing one, changes nothing; nothing is begun twice. */
const NEXT: Readonly<Record<PieceState, readonly PieceState[]>> = {
  [missing]: [missing, downloading, have, unverified],
  [downloading]: [missing, hashing],
  [hashing]: [missing, storing],
  [storing]: [have],
  [have]: [have],
  [unverified]: [unverified, missing, have],
}

/** May a piece go from one state to the other? */
export function mayFollow(previous: PieceState, next: PieceState): boolean {
  return NEXT[previous].includes(next)
}

/** Peers that have the piece have something for us: it is not on the disk. */
export function isWanted(state: PieceState): boolean {
  return state !== have && state !== unverified
}
