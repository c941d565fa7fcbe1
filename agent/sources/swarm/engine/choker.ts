// SPDX-License-Identifier: Apache-2.0
// Owns whom we upload to. Co-operative: all nodes are on one side, so there is no tit-for-tat; as long
// as the slots suffice everybody interested is served. Does not send blocks.
import type { PeerWire } from './peer-wire.ts'

export interface Choker {
  /** Someone became interested or left: fill free slots at once. */
  fill(wires: readonly PeerWire[]): void
  /** Every few seconds: hand the slots round where there are too few. */
  rotate(wires: readonly PeerWire[]): void
}

/** @param slots most peers uploaded to at a time */
export function createChoker(slots: number, random: () => number): Choker {
  function fill(wires: readonly PeerWire[]): void {
    let free = slots
    for (const wire of wires) if (!wire.isChoking && wire.isPeerInterested) free -= 1
    for (const wire of wires) {
      if (free <= 0) return
      if (wire.isChoking && wire.isPeerInterested) {
        wire.unchoke()
        free -= 1
      }
    }
  }

  function rotate(wires: readonly PeerWire[]): void {
    const interested = wires.filter((wire) => wire.isPeerInterested)
    if (interested.length <= slots) {
      fill(wires)
      return
    }
    const drawn = interested
      .map((wire) => ({ wire, rank: random() }))
      .sort((a, b) => a.rank - b.rank)
    for (const { wire } of drawn.slice(slots)) if (!wire.isChoking) wire.choke()
    for (const { wire } of drawn.slice(0, slots)) if (wire.isChoking) wire.unchoke()
  }

  return { fill, rotate }
}
