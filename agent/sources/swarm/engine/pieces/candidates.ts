// SPDX-License-Identifier: Apache-2.0
// Owns the way through the pieces that one peer could be asked for, in an order that all peers share: each is
// passed once, later ones are seen as they come. Does not know what a peer has.

/** Candidates looked at for one whose turn it is. */
const MAX_LOOKS = 32
/** Later ones that are remembered: a peer costs no more, however many pieces there are. */
const MAX_FRESH = 1024

export class Candidates {
  readonly #order: Uint32Array
  /** Everything before it in the order is no candidate, or is in `#fresh`. */
  #next = 0
  /** Became candidates after they were passed, the latest last. */
  #fresh: number[] = []

  /** @param order of all pieces, shared */
  constructor(order: Uint32Array) {
    this.#order = order
  }

  /** The piece can be asked for, now or again. */
  add(piece: number): void {
    if (this.#fresh.length < MAX_FRESH) {
      this.#fresh.push(piece)
      return
    }
    // too many to remember: from the start
    this.#fresh = []
    this.#next = 0
  }

  /** One that is a candidate and whose turn it is, -1 if there is none among the next few. */
  find(isCandidate: (piece: number) => boolean, isTurn: (piece: number) => boolean): number {
    const fresh = this.#fresh
    while (fresh.length > 0 && !isCandidate(fresh.at(-1) as number)) fresh.pop()
    const found = fresh.slice(-MAX_LOOKS).findLast((piece) => isCandidate(piece) && isTurn(piece))
    return found ?? this.#findInOrder(isCandidate, isTurn)
  }

  #findInOrder(
    isCandidate: (piece: number) => boolean,
    isTurn: (piece: number) => boolean,
  ): number {
    const order = this.#order
    while (this.#next < order.length && !isCandidate(order[this.#next] as number)) this.#next += 1
    const end = Math.min(this.#next + MAX_LOOKS, order.length)
    for (let at = this.#next; at < end; at++) {
      const piece = order[at] as number
      if (isCandidate(piece) && isTurn(piece)) return piece
    }
    return -1
  }
}

/** Any order of all pieces: nodes that search must not ask for the same. */
export function drawOrder(pieceCount: number, random: () => number): Uint32Array {
  const order = Uint32Array.from({ length: pieceCount }, (_, piece) => piece)
  for (let at = pieceCount - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1))
    const piece = order[at] as number
    order[at] = order[other] as number
    order[other] = piece
  }
  return order
}
