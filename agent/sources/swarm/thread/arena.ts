// SPDX-License-Identifier: Apache-2.0
// Owns the one piece of memory that image bytes pass through on their way between swarm and disk: slots
// of a piece each, shared by both threads. Idle slots keep the last pieces for uploading.
import type { Slot, SlotSource } from '../engine/pieces/slot.ts'

const MAX_SLOTS = 256
/** Two pieces in progress, one for uploads. */
const MIN_SLOTS = 3

/** How the arena is divided. */
export interface ArenaShape {
  readonly slotBytes: number
  readonly slotCount: number
  /** Most slots that downloads may hold; the others keep pieces for uploads. */
  readonly maxInProgress: number
}

/** What pieces of this length need, bytes. */
export function leastArenaBytes(pieceLength: number): number {
  return MIN_SLOTS * pieceLength
}

/** As many slots as fit into `memoryBytes`, but no fewer than it takes; never more than there are pieces. */
export function arenaShape(
  pieceLength: number,
  pieceCount: number,
  memoryBytes: number,
): ArenaShape {
  const fitting = Math.floor(memoryBytes / pieceLength)
  const slotCount = Math.max(MIN_SLOTS, Math.min(MAX_SLOTS, fitting, pieceCount + 2))
  // peers ask for a piece soon after its HAVE, and then it need not be read from disk
  const reserved = Math.max(1, Math.floor((slotCount * 3) / 8))
  return { slotBytes: pieceLength, slotCount, maxInProgress: slotCount - reserved }
}

/**
 * New memory for the slots, which can go straight to the disk: V8 reserves growable buffers by whole
 * pages, and O_DIRECT wants its memory aligned (open(2)).
 */
export function allocateArena({ slotBytes, slotCount }: ArenaShape): SharedArrayBuffer {
  const bytes = slotBytes * slotCount
  return new SharedArrayBuffer(bytes, { maxByteLength: bytes })
}

export interface Arena extends SlotSource {
  /** The slot holds this piece now; it may be evicted as soon as memory is wanted. */
  retain(piece: number, slot: Slot): void
  /** The slot that holds the piece, if one does. Use its bytes at once. */
  find(piece: number): Slot | undefined
}

/** The worker's side: who holds which slot. */
export function createArena(memory: SharedArrayBuffer, shape: ArenaShape): Arena {
  const free = Array.from({ length: shape.slotCount }, (_, index) => slotAt(memory, shape, index))
  /** By piece, least recently used first. */
  const retained = new Map<number, Slot>()

  function acquire(): Slot | undefined {
    const slot = free.pop()
    if (slot) return slot
    const [oldest] = retained
    if (oldest === undefined) return undefined
    retained.delete(oldest[0])
    return oldest[1]
  }

  function retain(piece: number, slot: Slot): void {
    const previous = retained.get(piece)
    if (previous) free.push(previous)
    retained.delete(piece)
    retained.set(piece, slot)
  }

  function find(piece: number): Slot | undefined {
    const slot = retained.get(piece)
    if (slot) {
      retained.delete(piece)
      retained.set(piece, slot)
    }
    return slot
  }

  return { acquire, release: (slot) => void free.push(slot), retain, find }
}

/** A view of one slot, on either side. */
export function slotAt(memory: SharedArrayBuffer, shape: ArenaShape, index: number): Slot {
  return { index, bytes: new Uint8Array(memory, index * shape.slotBytes, shape.slotBytes) }
}
