// SPDX-License-Identifier: Apache-2.0
// Owns seeding an image that is complete already: the role any host can take. Does not download; pieces
// are verified as they are read, so that a wrong image is never passed on.

import { AgentError } from '../../core/errors.ts'
import type { ImageReader } from '../../core/extent.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { ArenaBudget } from './thread/arena-budget.ts'
import { type NearbyOptions, NOBODY_NEARBY, ON_DISK, type SwarmFigures } from './thread/protocol.ts'
import { startSwarmRun } from './thread/swarm-run.ts'
import type { Metainfo } from './torrent/metainfo.ts'
import { mergeTrackers, type TrackerList } from './torrent/trackers.ts'

export interface SeederOptions {
  readonly metainfo: Metainfo
  /** Besides those of the metainfo. */
  readonly trackers: TrackerList
  /** Reads bytes of the image. */
  readonly readImage: ImageReader
  /** 0 for any. */
  readonly listenPort: number
  /** Bytes per second; 0 for none. */
  readonly uploadLimit: number
  /** Neither discovery nor a name unless given. */
  readonly nearby?: NearbyOptions | undefined
  readonly memory: ArenaBudget
  readonly log: Logger
}

export interface Seeder extends AsyncDisposable {
  readonly port: number | undefined
  stats(): SwarmFigures
  /** Rejects if the seeder cannot go on; never resolves. */
  readonly failure: Promise<never>
}

/** Starts seeding at once. */
export function createSeeder(options: SeederOptions): Seeder {
  const { metainfo } = options
  const { promise: failure, reject } = Promise.withResolvers<never>()
  failure.catch(() => undefined)
  const run = startSwarmRun({
    metainfo,
    trackers: mergeTrackers(options.trackers, metainfo.trackers),
    webSeed: undefined,
    listenPort: options.listenPort,
    uploadLimit: options.uploadLimit,
    downloadLimit: 0,
    nearby: options.nearby ?? NOBODY_NEARBY,
    memory: options.memory,
    log: options.log,
    onDisk: new Uint8Array(metainfo.pieceCount).fill(ON_DISK.verified),
    readImage: options.readImage,
    writePiece: () => Promise.reject(new AgentError('SwarmError', 'a seeder does not download')),
    onPiece: () => undefined,
    onOriginLost: () => undefined,
    onFailure: reject,
  })
  return {
    get port() {
      return run.port
    },
    stats: () => run.figures,
    failure,
    [Symbol.asyncDispose]: () => run.close(),
  }
}
