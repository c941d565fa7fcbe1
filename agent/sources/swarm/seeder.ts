// SPDX-License-Identifier: Apache-2.0
// Owns seeding an image that is complete already: the role any host can take. Does not download; pieces
// are verified as they are read, so that a wrong image is never passed on.

import { AgentError } from '../../core/errors.ts'
import type { ImageReader } from '../../core/extent.ts'
import type { SwarmTask } from './swarm-task.ts'
import { ON_DISK, type SwarmFigures } from './thread/protocol.ts'
import { type SwarmDeps, startSwarmRun } from './thread/swarm-run.ts'

export interface SeederDeps extends SwarmDeps {
  /** Reads bytes of the image. */
  readonly readImage: ImageReader
}

export interface Seeder extends AsyncDisposable {
  readonly port: number | undefined
  stats(): SwarmFigures
  /** Rejects if the seeder cannot go on; never resolves. */
  readonly failure: Promise<never>
}

/** Starts seeding at once. The task's origin is not asked. Throws SwarmError if the budget has no room. */
export function createSeeder(task: SwarmTask, deps: SeederDeps): Seeder {
  const { pieceCount } = task.torrent.metainfo
  const { promise: failure, reject } = Promise.withResolvers<never>()
  failure.catch(() => undefined)
  const run = startSwarmRun(task, {
    ...deps,
    onDisk: new Uint8Array(pieceCount).fill(ON_DISK.verified),
    writePiece: () => Promise.reject(new AgentError('SwarmError', 'a seeder does not download')),
    onPiece: () => undefined,
    onRefuted: () => undefined,
    onOriginLost: () => undefined,
    onRefused: () => undefined,
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
