// SPDX-License-Identifier: Apache-2.0
// Owns the messages between the agent's thread and the swarm worker. Image bytes do not travel in them:
// they lie in the shared arena. Does not send or receive.
import type { PeerFigures, TrackerFigures } from '../../../core/events.ts'
import type { TrackerNews } from '../announce/tracker.ts'
import type { SwarmTask } from '../swarm-task.ts'
import type { ArenaShape } from './arena.ts'

/** What the worker starts with. */
export interface WorkerTask {
  readonly swarm: SwarmTask
  /** Of this worker alone, lower-case hex. */
  readonly peerId: string
  readonly memory: SharedArrayBuffer
  readonly arena: ArenaShape
  /** One of ON_DISK per piece. */
  readonly onDisk: Uint8Array
}

/**
 * What is known of a piece: verified and on the disk, or on the disk says another source. The latter are
 * checked before they are uploaded.
 */
export const ON_DISK = { no: 0, verified: 1, claimed: 2 } as const

/** From the worker. */
export type WorkerNews =
  | { readonly kind: 'listening'; readonly port: number }
  /** A verified piece lies in the slot: write it and answer `written`. */
  | {
      readonly kind: 'piece'
      readonly piece: number
      readonly slot: number
      readonly length: number
      readonly from: 'origin' | 'peers'
    }
  /** A claimed piece has the right hash. */
  | { readonly kind: 'verified'; readonly piece: number }
  /** A claimed piece has a wrong hash: it will be fetched. */
  | { readonly kind: 'refuted'; readonly piece: number }
  /** Read the piece from the disk into the slot and answer `read`. */
  | {
      readonly kind: 'read'
      readonly piece: number
      readonly slot: number
    }
  /** Twice a second; their absence means that the worker hangs. */
  | { readonly kind: 'pulse'; readonly figures: SwarmFigures }
  /** Once a second: what people may want to see. */
  | ({ readonly kind: 'view' } & SwarmView)
  | { readonly kind: 'warning'; readonly message: string; readonly fields: object }
  | ({ readonly kind: 'tracker' } & TrackerNews)
  | { readonly kind: 'origin lost'; readonly reason: string }
  /** A peer closed the connection at our handshake, and no other has talked to us. */
  | { readonly kind: 'refused'; readonly address: string }
  | { readonly kind: 'closed' }

/** To the worker. */
export type WorkerOrder =
  | { readonly kind: 'written'; readonly piece: number }
  | { readonly kind: 'read'; readonly piece: number; readonly error: string | null }
  /** Our rack has a name now. */
  | { readonly kind: 'rack'; readonly rack: string }
  | { readonly kind: 'close' }

/** Running totals of one worker. */
export interface SwarmFigures {
  readonly peers: number
  readonly uploadedBytes: number
  /** Verified bytes by origin. */
  readonly originBytes: number
  readonly peerBytes: number
  readonly duplicateBytes: number
}

/** What one worker sees, besides its totals. */
export interface SwarmView {
  readonly asked: number
  readonly served: number
  readonly peerList: readonly PeerFigures[]
  readonly trackers: readonly TrackerFigures[]
  /** With a wrong hash, so far. */
  readonly badPieces: { readonly origin: number; readonly peers: number }
}

export const NO_FIGURES: SwarmFigures = {
  peers: 0,
  uploadedBytes: 0,
  originBytes: 0,
  peerBytes: 0,
  duplicateBytes: 0,
}
