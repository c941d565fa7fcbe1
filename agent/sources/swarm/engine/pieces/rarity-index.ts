// SPDX-License-Identifier: Apache-2.0
// Owns how many peers have each piece, and the pieces still to start in order of rarity. Every change
// costs O(1) or O(highest availability), never a scan of all pieces. Does not know peers.

/**
 * Startable pieces lie in `#order`, sorted by availability; `#starts[a]` is the first position of those
 * with availability `a`. Moving a piece to the neighbouring bucket is one swap at the border.
 */
export class RarityIndex {
  readonly #availability: Uint16Array
  readonly #order: Int32Array
  /** Place in #order, or -1. */
  readonly #position: Int32Array
  readonly #starts: number[] = [0, 0]

  constructor(pieceCount: number) {
    this.#availability = new Uint16Array(pieceCount)
    this.#order = new Int32Array(pieceCount)
    this.#position = new Int32Array(pieceCount).fill(-1)
  }

  /** Pieces in the index. */
  get size(): number {
    return this.#starts.at(-1) as number
  }

  availability(piece: number): number {
    return this.#availability[piece] as number
  }

  includes(piece: number): boolean {
    return (this.#position[piece] as number) >= 0
  }

  /** Makes a piece startable. */
  add(piece: number): void {
    if (this.includes(piece)) return
    const bucket = this.availability(piece)
    this.#ensureBucket(bucket)
    let hole = this.size
    for (let b = this.#starts.length - 2; b > bucket; b--) {
      const first = this.#starts[b] as number
      // an empty bucket begins at the hole: nothing to move
      if (first !== hole) this.#place(this.#order[first] as number, hole)
      hole = first
      this.#starts[b] = first + 1
    }
    this.#place(piece, hole)
    this.#starts[this.#starts.length - 1] = this.size + 1
  }

  /** Takes a piece out: it was started, or is on the disk. */
  remove(piece: number): void {
    if (!this.includes(piece)) return
    let hole = this.#position[piece] as number
    for (let b = this.availability(piece); b <= this.#starts.length - 2; b++) {
      const last = (this.#starts[b + 1] as number) - 1
      if (last !== hole) this.#place(this.#order[last] as number, hole)
      hole = last
      this.#starts[b + 1] = last
    }
    this.#position[piece] = -1
  }

  /** One more peer has the piece. */
  increment(piece: number): void {
    const bucket = this.availability(piece)
    this.#availability[piece] = bucket + 1
    if (!this.includes(piece)) return
    this.#ensureBucket(bucket + 1)
    const last = (this.#starts[bucket + 1] as number) - 1
    this.#swap(this.#position[piece] as number, last)
    this.#starts[bucket + 1] = last
  }

  /** One peer less has the piece. */
  decrement(piece: number): void {
    const bucket = this.availability(piece)
    this.#availability[piece] = bucket - 1
    if (!this.includes(piece)) return
    const first = this.#starts[bucket] as number
    this.#swap(this.#position[piece] as number, first)
    this.#starts[bucket] = first + 1
  }

  /**
   * One of the rarest pieces that `has` says yes to, random among equals; -1 if there is none.
   * Pieces that no peer has are not looked at, and no more than `maxLooks` others.
   */
  pickRarest(
    has: (piece: number) => boolean,
    random: () => number,
    maxLooks = Number.POSITIVE_INFINITY,
  ): number {
    let looks = maxLooks
    for (let b = 1; b <= this.#starts.length - 2 && looks > 0; b++) {
      const from = this.#starts[b] as number
      const count = (this.#starts[b + 1] as number) - from
      const piece = this.#pickBetween(from, count, has, random, looks)
      if (piece >= 0) return piece
      looks -= count
    }
    return -1
  }

  #pickBetween(
    from: number,
    count: number,
    has: (piece: number) => boolean,
    random: () => number,
    maxLooks: number,
  ): number {
    const start = Math.floor(random() * count)
    for (let k = 0; k < count && k < maxLooks; k++) {
      const piece = this.#order[from + ((start + k) % count)] as number
      if (has(piece)) return piece
    }
    return -1
  }

  #ensureBucket(bucket: number): void {
    while (this.#starts.length < bucket + 2) this.#starts.push(this.size)
  }

  #place(piece: number, position: number): void {
    this.#order[position] = piece
    this.#position[piece] = position
  }

  #swap(a: number, b: number): void {
    const pieceA = this.#order[a] as number
    const pieceB = this.#order[b] as number
    this.#place(pieceA, b)
    this.#place(pieceB, a)
  }
}
