// SPDX-License-Identifier: Apache-2.0
// Owns which pieces of one torrent are on the disk, as the agent's thread knows it. Does not read or write them.
import { ON_DISK } from './protocol.ts'

export class PiecesOnDisk {
  /** One of ON_DISK per piece. */
  readonly states: Uint8Array
  #verifiedCount = 0

  /** @param states kept up to date from now on */
  constructor(states: Uint8Array) {
    this.states = states
    for (const state of states) if (state === ON_DISK.verified) this.#verifiedCount += 1
  }

  /** All of them are verified. */
  get isComplete(): boolean {
    return this.#verifiedCount === this.states.length
  }

  /** False if that was known. */
  verify(piece: number): boolean {
    if (this.states[piece] === ON_DISK.verified) return false
    this.states[piece] = ON_DISK.verified
    this.#verifiedCount += 1
    return true
  }

  /** What another source has put on the disk for this piece is wrong. */
  refute(piece: number): void {
    this.states[piece] = ON_DISK.no
  }
}
