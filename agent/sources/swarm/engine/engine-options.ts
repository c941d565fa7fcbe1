// SPDX-License-Identifier: Apache-2.0
// Owns what the engine asks of its surroundings: clock, randomness, memory, hashing, the disk, the origin;
// and what it tells them. Does not choose any of them.
import type { PieceLayout } from '../torrent/piece-layout.ts'
import type { Origin } from './origin/origin.ts'
import type { PieceOrigin } from './pieces/pieces-in-progress.ts'
import type { Slot, SlotSource } from './pieces/slot.ts'

export type EngineNews =
  | { readonly kind: 'peer dropped'; readonly address: string; readonly reason: string }
  | { readonly kind: 'bad piece'; readonly piece: number; readonly from: PieceOrigin }
  | { readonly kind: 'origin trouble'; readonly reason: string; readonly isFinal: boolean }

export interface EngineOptions {
  readonly layout: PieceLayout
  /** Our peer id, lower-case hex. */
  readonly selfId: string
  /** Milliseconds; may start anywhere. */
  readonly now: () => number
  readonly random: () => number
  /** Runs `work` soon, after the messages at hand: `setImmediate`. */
  readonly defer: (work: () => void) => void
  readonly slots: SlotSource
  /** Most pieces in progress, those being written included. */
  readonly maxInProgress: number
  readonly origin: Origin | undefined
  /** Bytes per second; 0 for none. */
  readonly downloadLimit: number
  readonly maxUploads: number
  /** Calls `done` once, now or later; the bytes stay as they are until then. */
  verify(piece: number, bytes: Uint8Array, done: (isRight: boolean) => void): void
  /** Puts a verified piece on the disk; owns the slot from then on. Only then it is announced. */
  store(piece: number, slot: Slot, from: PieceOrigin): Promise<void>
  onNews(news: EngineNews): void
  /** Every piece is on the disk. */
  onComplete(): void
}
