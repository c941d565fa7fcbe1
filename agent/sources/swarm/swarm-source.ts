// SPDX-License-Identifier: Apache-2.0
// Owns the swarm as an image source: a delivery (swarm-delivery.ts), then seeding until it is disposed of. The library
// runs in a worker (thread/swarm-run.ts), so that this thread only moves verified pieces.
import { throwIfAborted, timerMs } from '../../core/deadline.ts'
import { AgentError } from '../../core/errors.ts'
import type { DeliverRequest, ImageSource, SourceStats } from '../source.ts'
import { startDelivery } from './swarm-delivery.ts'
import type { SwarmTask } from './swarm-task.ts'
import { NO_FIGURES, type SwarmFigures } from './thread/protocol.ts'
import type { SwarmDeps, SwarmRun } from './thread/swarm-run.ts'
import type { Metainfo } from './torrent/metainfo.ts'

export interface SwarmSourceDeps extends SwarmDeps {
  /** The rack's name if it is found out later; undefined if it is not. */
  readonly laterRack?: Promise<string | undefined> | undefined
}

export interface SwarmSource extends ImageSource {
  readonly name: 'swarm'
  stats(): SourceStats & SwarmFigures
  /** TCP port peers connect to, once the worker listens. */
  readonly port: number | undefined
  /** Resolves when it serves nobody any more: disposed of, or by the time or the ratio of its task. */
  readonly ended: Promise<void>
}

/** How often it is asked whether enough was uploaded. */
const LOOK_MS = 250

/**
 * The swarm as an ImageSource. `deliver` resolves when every piece is verified and written; it throws
 * SwarmStalledError after `stallTimeoutMs` without a new piece, or with next to nothing, SwarmError when the swarm cannot go on,
 * and what the sink threw. Every one but the last lets the next source go on from the coverage.
 */
export function createSwarmSource(task: SwarmTask, deps: SwarmSourceDeps): SwarmSource {
  return new SeedingSource(task, deps)
}

class SeedingSource implements SwarmSource {
  readonly name = 'swarm'
  readonly #task: SwarmTask
  readonly #deps: SwarmSourceDeps
  readonly #ended = Promise.withResolvers<void>()
  #run: SwarmRun | undefined
  #seedTimer: NodeJS.Timeout | undefined
  #ratioTimer: NodeJS.Timeout | undefined

  constructor(task: SwarmTask, deps: SwarmSourceDeps) {
    this.#task = task
    this.#deps = deps
  }

  get port(): number | undefined {
    return this.#run?.port
  }

  get ended(): Promise<void> {
    return this.#ended.promise
  }

  stats(): SwarmFigures {
    return this.#run?.figures ?? NO_FIGURES
  }

  async deliver(request: DeliverRequest): Promise<void> {
    throwIfAborted(request.signal)
    checkLength(this.#task.torrent.metainfo, request.totalBytes)
    const { run, done } = startDelivery(this.#task, this.#deps, request)
    this.#run = run
    void this.#deps.laterRack?.then((rack) => {
      if (rack !== undefined) run.nameRack(rack)
    })
    try {
      await done
    } catch (error) {
      await this.#close()
      throw error
    }
    this.#limitSeeding(run)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close()
  }

  #limitSeeding(run: SwarmRun): void {
    const { seedTimeMs, seedRatio } = this.#task.limits
    const { lengthBytes } = this.#task.torrent.metainfo
    if (seedTimeMs > 0) this.#seedTimer = setTimeout(() => void this.#close(), timerMs(seedTimeMs))
    if (seedRatio <= 0) return
    this.#ratioTimer = setInterval(() => {
      if (run.figures.uploadedBytes >= seedRatio * lengthBytes) void this.#close()
    }, LOOK_MS)
  }

  async #close(): Promise<void> {
    clearTimeout(this.#seedTimer)
    clearInterval(this.#ratioTimer)
    await this.#run?.close()
    this.#ended.resolve()
  }
}

function checkLength(metainfo: Metainfo, totalBytes: number): void {
  if (metainfo.lengthBytes === totalBytes) return
  throw new AgentError(
    'InvalidMetainfoError',
    `the torrent describes ${metainfo.lengthBytes} bytes, the image has ${totalBytes}; ` +
      'make the torrent from this very image',
  )
}
