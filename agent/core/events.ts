// SPDX-License-Identifier: Apache-2.0
// Owns the typed news that travels upward: progress and operations. The only way a lower layer speaks up.
import { EventEmitter } from 'node:events'

/** Bytes of the image by where they came from; all in bytes. */
export interface BytesBySource {
  /** Fetched over HTTP from an image url, by the HTTP source or as the swarm's web seed. */
  origin: number
  /** Received from peers. */
  peers: number
  /** Read from a local file (stand-alone use). */
  file: number
}

/** A snapshot of a running image write or erasure; also what `/v1/status` and the command's result carry. */
export interface Progress {
  /** `fetch` the bytes come in and go to disk · `read-back` · `commit` · `configdrive` · `erase` · `done` */
  readonly step: 'prepare' | 'fetch' | 'read-back' | 'commit' | 'configdrive' | 'erase' | 'done'
  /** Bytes of this step done, and in all. */
  readonly doneBytes: number
  readonly totalBytes: number
  readonly percent: number
  /** Over the last seconds. */
  readonly rateBytesPerSecond: number
  /** Seconds left in this step; null when unknown. */
  readonly etaSeconds: number | null
  readonly source: string | null
  readonly bytes: BytesBySource
  readonly uploadedBytes: number
  readonly peers: number
}

/** What one event name carries. */
export interface EventMap {
  progress: [Progress]
  /** A step of the pipeline, named hierarchically: `deploy/write_image/swarm`. */
  started: [{ name: string; fields: Record<string, unknown> }]
  finished: [{ name: string; result: 'SUCCESS' | 'WARN' | 'FAIL'; fields: Record<string, unknown> }]
  /** Degraded but going on: a web-seed fallback, a banned peer. */
  warning: [{ message: string; fields: Record<string, unknown> }]
}

export type Events = EventEmitter<EventMap>

/** A new emitter; the owner passes it down, the layers above listen. */
export function createEvents(): Events {
  return new EventEmitter<EventMap>()
}
