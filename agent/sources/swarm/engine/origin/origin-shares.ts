// SPDX-License-Identifier: Apache-2.0
// Owns who fetches which piece from the origin: rendezvous hashing of peer id and piece, so that nodes
// that see each other agree without a word. Does not fetch.

/** Pieces that share an owner and are fetched one after the other, so that the origin reads ahead. */
function groupSize(pieceCount: number, pieceLength: number): number {
  const sequentialBytes = 1024 * 1024
  const fine = Math.floor(pieceCount / 1024) // many more groups than nodes, or shares get uneven
  return Math.max(1, Math.min(Math.floor(sequentialBytes / pieceLength), fine))
}

/** 32 well-mixed bits of (seed, group): murmur3's finaliser. */
function score(seed: number, group: number): number {
  let h = Math.imul(seed ^ Math.imul(group + 0x9e3779b9, 0x85ebca6b), 0xc2b2ae35)
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d)
  h = Math.imul(h ^ (h >>> 12), 0x297a2d39)
  return (h ^ (h >>> 15)) >>> 0
}

/** FNV-1a of the peer id. */
function seedOf(peerId: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < peerId.length; i++) h = Math.imul(h ^ peerId.charCodeAt(i), 0x01000193)
  return h >>> 0
}

/** The account of origin ownership as one node sees it. */
export class OriginShares {
  readonly #groupSize: number
  readonly #pieceCount: number
  readonly #self: number
  /** Seeds of the other nodes, with how many wires lead to each. */
  readonly #others = new Map<number, number>()
  readonly #ownScore: Uint32Array
  /** The highest score of the others per group. */
  readonly #rivalScore: Uint32Array
  /** Groups in the order this node fetches them: own score, highest first. */
  readonly #order: Uint32Array
  #ownCursor = 0
  #anyCursor = 0

  constructor(selfId: string, pieceCount: number, pieceLength: number) {
    this.#groupSize = groupSize(pieceCount, pieceLength)
    this.#pieceCount = pieceCount
    this.#self = seedOf(selfId)
    const groups = Math.ceil(pieceCount / this.#groupSize)
    this.#ownScore = Uint32Array.from({ length: groups }, (_, group) => score(this.#self, group))
    this.#rivalScore = new Uint32Array(groups)
    const own = this.#ownScore
    this.#order = Uint32Array.from(own.keys()).sort(
      (a, b) => (own[b] as number) - (own[a] as number) || a - b,
    )
  }

  addPeer(peerId: string): void {
    const seed = seedOf(peerId)
    const wires = this.#others.get(seed) ?? 0
    this.#others.set(seed, wires + 1)
    if (wires > 0) return
    this.#raiseRivals(seed)
    this.rewind()
  }

  removePeer(peerId: string): void {
    const seed = seedOf(peerId)
    const wires = this.#others.get(seed) ?? 0
    if (wires > 1) {
      this.#others.set(seed, wires - 1)
      return
    }
    this.#others.delete(seed)
    this.#rivalScore.fill(0)
    for (const other of this.#others.keys()) this.#raiseRivals(other)
    this.rewind()
  }

  /** Pieces may have become open again: look from the start. */
  rewind(): void {
    this.#ownCursor = 0
    this.#anyCursor = 0
  }

  /** True if no other node has a higher score for the piece. */
  owns(piece: number): boolean {
    return this.#isOwn(Math.floor(piece / this.#groupSize))
  }

  /** An open piece of ours that is free besides; -1 if there is none. */
  nextOwn(isOpen: (piece: number) => boolean, isFree: (piece: number) => boolean): number {
    const next = this.#next(this.#ownCursor, isOpen, isFree, (group) => this.#isOwn(group))
    this.#ownCursor = next.firstOpen
    return next.piece
  }

  /** The same whoever owns it, in this node's own order, so that helpers rarely collide. */
  nextFree(isOpen: (piece: number) => boolean, isFree: (piece: number) => boolean): number {
    const next = this.#next(this.#anyCursor, isOpen, isFree, () => true)
    this.#anyCursor = next.firstOpen
    return next.piece
  }

  /** What is not open stays so until the next `rewind`; what is not free may be so at any time. */
  #next(
    from: number,
    isOpen: (piece: number) => boolean,
    isFree: (piece: number) => boolean,
    isWanted: (group: number) => boolean,
  ): { readonly piece: number; readonly firstOpen: number } {
    let firstOpen = this.#order.length
    for (let at = from; at < this.#order.length; at++) {
      const group = this.#order[at] as number
      if (!isWanted(group) || this.#first(group, isOpen) < 0) continue
      firstOpen = Math.min(firstOpen, at)
      const piece = this.#first(group, (each) => isOpen(each) && isFree(each))
      if (piece >= 0) return { piece, firstOpen }
    }
    return { piece: -1, firstOpen }
  }

  #isOwn(group: number): boolean {
    return (this.#ownScore[group] as number) >= (this.#rivalScore[group] as number)
  }

  #first(group: number, isOpen: (piece: number) => boolean): number {
    const first = group * this.#groupSize
    const end = Math.min(first + this.#groupSize, this.#pieceCount)
    for (let piece = first; piece < end; piece++) if (isOpen(piece)) return piece
    return -1
  }

  #raiseRivals(seed: number): void {
    const rivals = this.#rivalScore
    for (let group = 0; group < rivals.length; group++) {
      rivals[group] = Math.max(rivals[group] as number, score(seed, group))
    }
  }
}
