// SPDX-License-Identifier: Apache-2.0
// Owns the messages between the agent's thread and the swarm worker. Image bytes do not travel in them:
// they lie in the shared arena. Does not send or receive.
import type { HttpClientSettings } from '../../../http/client.ts'
import type { HttpImageSettings } from '../../http/image-options.ts'
import type { PieceLayout } from '../torrent/piece-layout.ts'
import type { ArenaShape } from './arena.ts'

/** The origin (BEP 19) as plain data, so that a worker can be given it. */
export interface WebSeedOptions {
  /** The image's own urls; all hold the same bytes. */
  readonly urls: readonly string[]
  /** Value of the Authorization header. */
  readonly authorization?: string | undefined
  /** TLS, timeouts and retries. */
  readonly config: HttpClientSettings & HttpImageSettings
  readonly proxies?: Readonly<Record<string, string>> | undefined
  readonly noProxy?: string | undefined
}

/** How nodes near this one are found and told from others. */
export interface NearbyOptions {
  /** Local service discovery (BEP 14); `auto`: while no tracker answers. */
  readonly lsd: 'auto' | 'always' | 'off'
  /** Name of the rack; null: the subnet decides. */
  readonly rack: string | null
}

export const NOBODY_NEARBY: NearbyOptions = { lsd: 'off', rack: null }

/** What the worker starts with. */
export interface WorkerTask {
  readonly torrentFile: Uint8Array
  readonly infoHash: string
  readonly layout: PieceLayout
  /** SHA-1 hashes, end to end. */
  readonly hashes: Uint8Array
  readonly memory: SharedArrayBuffer
  readonly arena: ArenaShape
  readonly webSeed: WebSeedOptions | undefined
  readonly listenPort: number
  /** Bytes per second; 0 for none. */
  readonly uploadLimit: number
  readonly downloadLimit: number
  readonly nearby: NearbyOptions
  /** One byte per piece: 1 verified and on the disk, 2 on the disk says another source. */
  readonly onDisk: Uint8Array
  /** Reads of pieces are checked before they are uploaded. */
  readonly peerId: string
}

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
      readonly length: number
    }
  /** Twice a second; their absence means that the worker hangs. */
  | { readonly kind: 'pulse'; readonly figures: SwarmFigures }
  | { readonly kind: 'warning'; readonly message: string; readonly fields: object }
  | { readonly kind: 'origin lost'; readonly reason: string }
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
