// SPDX-License-Identifier: Apache-2.0
// Owns the pieces on their way to the disk: lent to the agent's thread, which writes them, and kept for uploads
// once it has. Does not write.
import type { PieceOrigin } from '../engine/pieces/pieces-in-progress.ts'
import type { Slot } from '../engine/pieces/slot.ts'
import type { Arena } from '../thread/arena.ts'

export interface PieceStoreDeps {
  readonly arena: Arena
  /** Asks for the piece in the slot to be written. */
  order(piece: number, slot: Slot, from: PieceOrigin): void
  /** The piece is on the disk; the engine hears of it after that. */
  onWritten(piece: number): void
}

export class PieceStore {
  readonly #deps: PieceStoreDeps
  readonly #writing = new Map<number, { readonly slot: Slot; readonly resolve: () => void }>()

  constructor(deps: PieceStoreDeps) {
    this.#deps = deps
  }

  /** Resolves when the verified piece is on the disk; never if it cannot be written, which ends the worker. */
  store(piece: number, slot: Slot, from: PieceOrigin): Promise<void> {
    return new Promise((resolve) => {
      this.#writing.set(piece, { slot, resolve })
      this.#deps.order(piece, slot, from)
    })
  }

  /** The agent's thread has written it. */
  onWritten(piece: number): void {
    const written = this.#writing.get(piece)
    if (written === undefined) return
    this.#writing.delete(piece)
    this.#deps.arena.retain(piece, written.slot)
    this.#deps.onWritten(piece)
    written.resolve()
  }
}
