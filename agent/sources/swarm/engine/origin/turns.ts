// SPDX-License-Identifier: Apache-2.0
// Owns whether it is this node's turn to fetch from the origin: in a large swarm only a few dozen do at a
// time, or a thousand fetches would share one cable and nobody had anything to pass on. Does not fetch.

/** Pieces under way from the origin, in the whole swarm: enough for an origin many times as fast as a node. */
export const MAX_FETCHES = 32
/** More than this many times as many are stopped if they have just begun. */
const CROWD = 1.25
/** Who told us more nodes than this for each one we know is not believed. */
const MAX_NODES_PER_PEER = 20

export interface TurnsDeps {
  readonly random: () => number
  peerCount(): number
  /** Fetches of others under way, as far as is known. */
  othersFetching(): number
}

export class Turns {
  readonly #deps: TurnsDeps
  #toldSize = 0
  #isOurs = true
  /** Doubles while the origin has room. */
  #eagerness = 1

  constructor(deps: TurnsDeps) {
    this.#deps = deps
  }

  /** Nodes of the swarm, ourselves included: what trackers say as far as it can be believed. */
  get swarmSize(): number {
    const known = this.#deps.peerCount() + 1
    return Math.max(known, Math.min(this.#toldSize, MAX_NODES_PER_PEER * known))
  }

  /** True if not everybody may fetch at the same time. */
  get isLimited(): boolean {
    return this.#deps.peerCount() > 0 && this.swarmSize > MAX_FETCHES
  }

  /** May this node begin to fetch? */
  get isOurs(): boolean {
    return this.#isOurs || !this.isLimited
  }

  noteSwarmSize(nodes: number): void {
    this.#toldSize = nodes
  }

  /** A fetch of ours has ended: others may go on, or we. */
  noteEnd(): void {
    if (!this.isLimited) return
    const fetching = this.#deps.othersFetching()
    if (fetching >= MAX_FETCHES) this.#isOurs = this.#deps.random() < MAX_FETCHES / (fetching + 1)
  }

  /** Call about four times a second. @param isUseful whether we would find something to fetch */
  draw(isUseful: () => boolean): void {
    if (!this.isLimited) {
      this.#isOurs = true
      return
    }
    if (this.#isOurs) return
    const room = MAX_FETCHES - this.#deps.othersFetching()
    if (room <= 0 || !isUseful()) {
      this.#eagerness = 1
      return
    }
    this.#isOurs = this.#deps.random() < (this.#eagerness * room) / this.swarmSize
    this.#eagerness *= 2
  }

  /** Everybody begins at once, before anybody knows of the others: true if this node is to stop. */
  isTooMany(): boolean {
    if (!this.isLimited) return false
    const fetching = this.#deps.othersFetching() + 1
    if (fetching <= CROWD * MAX_FETCHES) return false
    this.#isOurs = this.#deps.random() < MAX_FETCHES / fetching
    return !this.#isOurs
  }

  /**
   * Trackers count: who is told of few nodes came early and goes on; later ones wait to be needed.
   * @returns true if this node is to stop
   */
  isLate(): boolean {
    const isLate = this.#toldSize > MAX_FETCHES
    if (isLate) this.#isOurs = false
    return isLate
  }
}
