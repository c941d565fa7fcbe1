// SPDX-License-Identifier: Apache-2.0
// Owns a set of pieces as one bit each, in the order of a BITFIELD message (BEP 3): what is known of a peer, or
// owed to it, must not cost a number for each of 256 Ki pieces. Does not count.

/** The bits of those pieces of which `has` says yes, as in a BITFIELD (BEP 3). */
export function bitsOf(pieceCount: number, has: (piece: number) => boolean): Uint8Array {
  const pieces = new PieceSet(pieceCount)
  for (let piece = 0; piece < pieceCount; piece++) if (has(piece)) pieces.add(piece)
  return pieces.bits
}

/** Pieces outside of the torrent are in no set. */
export class PieceSet {
  /** Piece 0 is the highest bit of the first byte; the bits behind the last piece are 0. */
  readonly bits: Uint8Array
  readonly pieceCount: number

  constructor(pieceCount: number) {
    this.pieceCount = pieceCount
    this.bits = new Uint8Array(Math.ceil(pieceCount / 8))
  }

  has(piece: number): boolean {
    return ((this.bits[piece >>> 3] ?? 0) & (0x80 >>> (piece & 7))) !== 0
  }

  /** Nothing happens if there is no such piece. */
  add(piece: number): void {
    if (piece >= this.pieceCount) return
    const at = piece >>> 3
    this.bits[at] = (this.bits[at] as number) | (0x80 >>> (piece & 7))
  }

  delete(piece: number): void {
    if (piece >= this.pieceCount) return
    const at = piece >>> 3
    this.bits[at] = (this.bits[at] as number) & ~(0x80 >>> (piece & 7))
  }

  /** Every piece in ascending order. */
  [Symbol.iterator](): Generator<number> {
    return this.#pieces((at) => this.bits[at] as number)
  }

  /** The pieces that are in here or in these bits, not in both. Where nothing differs it costs a look per byte. */
  differing(bits: Uint8Array): Generator<number> {
    return this.#pieces((at) => (this.bits[at] as number) ^ (bits[at] ?? 0))
  }

  *#pieces(byteAt: (at: number) => number): Generator<number> {
    for (let at = 0; at < this.bits.length; at++) {
      for (let rest = byteAt(at); rest !== 0; ) {
        const bit = Math.clz32(rest) - 24
        rest &= ~(0x80 >>> bit)
        // behind the last piece a peer may set what it likes
        if (8 * at + bit < this.pieceCount) yield 8 * at + bit
      }
    }
  }
}
