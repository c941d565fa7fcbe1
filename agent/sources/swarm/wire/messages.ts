// SPDX-License-Identifier: Apache-2.0
// Owns the numbers of the peer wire protocol: message ids, lengths, limits (BEP 3, BEP 6, BEP 10). Does
// not read or write.

export const MESSAGE_IDS = {
  choke: 0,
  unchoke: 1,
  interested: 2,
  notInterested: 3,
  have: 4,
  bitfield: 5,
  request: 6,
  piece: 7,
  cancel: 8,
  haveAll: 14,
  haveNone: 15,
  reject: 16,
  extended: 20,
} as const

/** Every message begins with its length, which does not count these bytes. */
export const LENGTH_BYTES = 4
/** Length, id, piece and offset in front of a block. */
export const BLOCK_HEADER_BYTES = 13
/** Longest message we accept: blocks are 16 KiB, a bitfield of 256 Ki pieces 32 KiB. */
export const MAX_MESSAGE_BYTES = 256 * 1024

/** Big-endian, unsigned. */
export function readUint32(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] as number) << 24) | ((bytes[at + 1] as number) << 16)
  return (high | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)) >>> 0
}

export function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}
