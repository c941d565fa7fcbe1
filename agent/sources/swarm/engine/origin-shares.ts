// SPDX-License-Identifier: Apache-2.0
// Owns who fetches which piece from the origin: rendezvous hashing of peer id and piece, so that nodes
// that see each other agree without a word. Does not fetch.

/** Pieces that share an owner and are fetched one after the other, so that the origin reads ahead. */
function groupSize(pieceCount: number, pieceLength: number): number {
  const sequentialBytes = 1024 * 1024
  const fine = Math.floor(pieceCount / 1024) // many more groups than nodes, or shares get uneven
  return Math.max(1, Math.min(Math.floor(sequentialBytes / pieceLength), fine))
}

/** Queues this much shorter than the longest are left to their owners. */
const LONG_QUEUE_SHARE = 0.7

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
  /** Seed of the node with that score, 0 if there is none. */
  readonly #rival: Uint32Array
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
    this.#rival = new Uint32Array(groups)
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
    this.#rival.fill(0)
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
    const group = Math.floor(piece / this.#groupSize)
    return (this.#ownScore[group] as number) >= (this.#rivalScore[group] as number)
  }

  /** The next open piece that this node owns; -1 if there is none. */
  nextOwn(isOpen: (piece: number) => boolean): number {
    for (; this.#ownCursor < this.#order.length; this.#ownCursor++) {
      const group = this.#order[this.#ownCursor] as number
      if ((this.#ownScore[group] as number) < (this.#rivalScore[group] as number)) continue
      const piece = this.#firstOpen(group, isOpen)
      if (piece >= 0) return piece
    }
    return -1
  }

  /** The next open piece whoever owns it, in this node's own order, so that helpers rarely collide. */
  nextAny(isOpen: (piece: number) => boolean): number {
    for (; this.#anyCursor < this.#order.length; this.#anyCursor++) {
      const piece = this.#firstOpen(this.#order[this.#anyCursor] as number, isOpen)
      if (piece >= 0) return piece
    }
    return -1
  }

  /** An open piece that is free besides, in the order of `nextAny`; -1 if there is none. */
  nextFree(isOpen: (piece: number) => boolean, isFree: (piece: number) => boolean): number {
    if (this.nextAny(isOpen) < 0) return -1
    const isBoth = (piece: number) => isOpen(piece) && isFree(piece)
    for (let at = this.#anyCursor; at < this.#order.length; at++) {
      const piece = this.#firstOpen(this.#order[at] as number, isBoth)
      if (piece >= 0) return piece
    }
    return -1
  }

  /**
   * Open pieces of the owners that have the most left, without those that they fetch next: what a node
   * whose own share is done takes off them. In this node's own order, so that helpers rarely collide.
   * @param least pieces an owner must have left
   */
  spares(isOpen: (piece: number) => boolean, least: number): number[] {
    const queues = new Map<number, number[]>()
    for (let group = 0; group < this.#rival.length; group++) {
      const owner = this.#rival[group] as number
      if (owner === 0 || this.#firstOpen(group, isOpen) < 0) continue
      const queue = queues.get(owner)
      if (queue) queue.push(group)
      else queues.set(owner, [group])
    }
    const longest = Math.max(0, ...Array.from(queues.values(), (queue) => queue.length))
    const enough = Math.max(least, longest * LONG_QUEUE_SHARE)
    const [own, rival] = [this.#ownScore, this.#rivalScore]
    return [...queues.values()]
      .filter((queue) => queue.length >= enough)
      .flatMap((queue) => {
        queue.sort((a, b) => (rival[a] as number) - (rival[b] as number))
        return queue.slice(0, Math.ceil(queue.length / 2))
      })
      .sort((a, b) => (own[b] as number) - (own[a] as number))
      .map((group) => this.#firstOpen(group, isOpen))
  }

  #firstOpen(group: number, isOpen: (piece: number) => boolean): number {
    const first = group * this.#groupSize
    const end = Math.min(first + this.#groupSize, this.#pieceCount)
    for (let piece = first; piece < end; piece++) if (isOpen(piece)) return piece
    return -1
  }

  #raiseRivals(seed: number): void {
    const rivals = this.#rivalScore
    for (let group = 0; group < rivals.length; group++) {
      const rival = score(seed, group)
      if (rival <= (rivals[group] as number)) continue
      rivals[group] = rival
      this.#rival[group] = seed
    }
  }
}
