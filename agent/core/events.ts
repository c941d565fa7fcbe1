// SPDX-License-Identifier: Apache-2.0
// Owns the types of the event stream: what may be said of what happens. The only way a lower layer speaks
// up. Does not carry events (telemetry/event-stream.ts); event-table.ts says who speaks and who reads.
import type { ErrorType, WireError } from './errors.ts'

/** Bytes of the image by where they came from; all in bytes. */
export interface BytesBySource {
  /** Fetched over HTTP from an image url, by the HTTP source or as the swarm's web seed. */
  origin: number
  /** Received from peers. */
  peers: number
  /** Read from a local file (stand-alone use). */
  file: number
}

/**
 * What figures of progress count. `seconds` of those that were asked for · `items` are whole things, one after the
 * other: collectors of an inspection
 */
export type Unit = 'bytes' | 'seconds' | 'items'

/** How far something is. */
export interface Figures {
  readonly unit: Unit
  readonly done: number
  /** 0 where nobody knows. */
  readonly total: number
  readonly percent: number
  /** Over the last seconds; of items over all of them. */
  readonly ratePerSecond: number
  /** Seconds left; null when unknown. */
  readonly etaSeconds: number | null
}

/** The figures of what runs; `/v1/status` and the command's result carry them as they are. */
export interface Progress extends Figures {
  /**
   * `fetch` the bytes come in and go to disk · `read-back` · `unpack` the file that was kept goes to its place ·
   * `partition` · `configdrive` · `commit` · `erase` · `burn-in` · `pack` a raw image becomes a file for the swarm ·
   * `hash` a file is read for its digest · `sync` a mirror gets its content on one more disk · `inspect` · `done`
   */
  readonly step:
    | 'prepare'
    | 'fetch'
    | 'read-back'
    | 'unpack'
    | 'partition'
    | 'configdrive'
    | 'commit'
    | 'erase'
    | 'burn-in'
    | 'pack'
    | 'hash'
    | 'sync'
    | 'inspect'
    | 'done'
  /** What the step is done to where it may be one of several: `cpu`, `/dev/md1`. */
  readonly subject: string | null
  readonly source: string | null
  readonly bytes: BytesBySource
  readonly uploadedBytes: number
  readonly peers: number
}

/** A step that takes time; `done` is none. */
export type Stage = Exclude<Progress['step'], 'done'>

/** What the conductor reads as `command_status` (contract 4.3). */
export type CommandStatus = 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CLEAN_VERSION_MISMATCH'

/** `WARN`: it ended well, but a warning or a failed part came on the way. */
export type OperationResult = 'SUCCESS' | 'WARN' | 'FAIL'

/** Facts in the names of the log: node_uuid, device, image_id, … */
export type Fields = Readonly<Record<string, unknown>>

/** `left`: nobody asks it any longer, so what was said of it is over. */
export type TrackerState = 'failing' | 'answering' | 'left'

/**
 * Where the agent is in its life. `held up`: it waits for somebody to mend what its last warning says ·
 * `rescued`, `locked down`: it leaves the machine alone
 */
export type Phase =
  | 'starting'
  | 'waiting for the network'
  | 'inspecting'
  | 'looking the node up'
  | 'serving'
  | 'held up'
  | 'rescued'
  | 'locked down'
  | 'ending'

/** An interface as people look for it. */
export interface Link {
  readonly name: string
  readonly mac: string
  /** A cable with somebody at its other end. */
  readonly hasCarrier: boolean
  readonly addresses: readonly string[]
}

/** A disk of the inventory. */
export interface DiskFacts {
  readonly name: string
  readonly sizeBytes: number
  readonly model: string
}

/** What is known of this machine and of its node; what is not said stays as it was. */
export interface MachineFacts {
  readonly hostname?: string
  readonly version?: string
  readonly nodeUuid?: string
  readonly nodeName?: string
  /** Of its API, without what may be a secret. */
  readonly ironicUrl?: string
  /** Where Ironic calls this agent. */
  readonly callbackUrl?: string
  readonly links?: readonly Link[]
  readonly disks?: readonly DiskFacts[]
  /** Manufacturer and product. */
  readonly model?: string
  readonly cpus?: number
  readonly memoryMib?: number
}

/** An array of md whose members do not hold the same yet. */
export interface SyncingArray {
  /** `/dev/md0`. */
  readonly array: string
  /** The kernel's word: `resync`, `recover`, `check`, `repair`, `reshape`. */
  readonly action: string
  readonly figures: Figures
}

/** A peer that is connected. */
export interface PeerFigures {
  /** `host:port`. */
  readonly address: string
  /** What it sends. */
  readonly rateBytesPerSecond: number
  /** In our rack, as far as is known. */
  readonly isNear: boolean
  /** Blocks are asked of it, and it may ask for some. */
  readonly isAsked: boolean
  readonly isServed: boolean
}

/** A tracker and what it said last. */
export interface TrackerFigures {
  /** Its url without what may be a secret. */
  readonly tracker: string
  readonly state: 'not asked yet' | 'answering' | 'failing'
  /** Its words, or what went wrong; empty where it only answered. */
  readonly words: string
  /** Seeds and leechers that it counts. */
  readonly nodes: number | null
  readonly askedSecondsAgo: number | null
  readonly nextInSeconds: number | null
}

/** What a publisher says; the stream adds the stamp. */
export type News =
  | { readonly type: 'operation'; readonly state: 'began'; readonly fields: Fields }
  | {
      readonly type: 'operation'
      readonly state: 'ended'
      readonly result: OperationResult
      readonly durationMs: number
      readonly fields: Fields
      readonly error?: WireError
      readonly err?: Fields
    }
  | {
      readonly type: 'command'
      readonly commandId: string
      readonly name: string
      /** The step's name, of a command that executes one. */
      readonly subject?: string
      readonly status: CommandStatus
      readonly error: WireError | null
      readonly durationMs?: number
    }
  | { readonly type: 'stage'; readonly stage: Stage; readonly state: 'began' | 'ended' }
  | { readonly type: 'progress'; readonly progress: Progress }
  | {
      readonly type: 'swarm'
      readonly peers: number
      readonly downloadedBytes: number
      readonly uploadedBytes: number
    }
  | { readonly type: 'plan'; readonly stages: readonly Stage[] }
  | { readonly type: 'phase'; readonly phase: Phase }
  | { readonly type: 'machine'; readonly facts: MachineFacts }
  | { readonly type: 'arrays'; readonly syncing: readonly SyncingArray[] }
  | {
      readonly type: 'ironic'
      readonly call: 'lookup' | 'heartbeat' | 'inspection'
      readonly result: 'answered' | 'failed'
      readonly reason: string | null
      /** After a failure: the type of error that it is, or would come to. */
      readonly errorType?: ErrorType
      readonly nextSeconds: number | null
    }
  | {
      readonly type: 'torrent'
      readonly infoHash: string
      readonly state: 'fetching' | 'seeding' | 'left'
      readonly peers: number
      readonly asked: number
      readonly served: number
      readonly peerList: readonly PeerFigures[]
      readonly trackers: readonly TrackerFigures[]
      readonly webseeds: readonly string[]
      readonly originReason: string | null
      readonly pieces: {
        readonly total: number
        readonly done: number
        readonly bytes: number
        readonly map: string
      }
      readonly badPieces: { readonly origin: number; readonly peers: number }
      readonly bytes: {
        readonly origin: number
        readonly peers: number
        readonly uploaded: number
        readonly duplicate: number
      }
      readonly rates: {
        readonly origin: number
        readonly peers: number
        readonly uploaded: number
      }
    }
  | {
      readonly type: 'tracker'
      readonly tracker: string
      readonly state: TrackerState
      readonly reason: string | null
      readonly fields: Fields
    }
  | {
      readonly type: 'warning'
      readonly message: string
      readonly fields: Fields
      readonly error: WireError
      readonly err: Fields
    }

export type EventType = News['type']

/** Where it happened: the names of command and operations, outermost first: `execute_deploy_step/write image`. */
interface Place {
  readonly operation?: string
}

export type NewEvent = News & Place

/** One thing that happened. Frozen, free of secrets, and as JSON has it: every reader shares the object. */
export type AgentEvent = News &
  Place & {
    /** Strictly increasing within one process, from 1. */
    readonly id: number
    /** Wall clock, ms since the epoch; may jump. */
    readonly at: number
  }

/** What those who only speak are given. Never throws, whatever the readers do. */
export interface EventPublisher {
  publish(event: NewEvent): void
}
