// SPDX-License-Identifier: Apache-2.0
// Owns the interface between the engine and the memory its pieces are put together in: an arena shared by
// two threads, or any bytes. Does not allocate.

/** Memory for one piece. */
export interface Slot {
  readonly index: number
  readonly bytes: Uint8Array
}

/** A bounded set of slots. */
export interface SlotSource {
  /** A free slot, or undefined if all are taken. */
  acquire(): Slot | undefined
  release(slot: Slot): void
}
