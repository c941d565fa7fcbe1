// SPDX-License-Identifier: Apache-2.0
// Owns the workers of one torrent, one after the other: the next takes the place of one that is lost, and what
// they have moved counts together. Does not know what their news mean.
import type { AgentError } from '../../../core/errors.ts'
import type { Logger } from '../../../telemetry/logger.ts'
import { createPeerId } from '../peers/peer-list.ts'
import type { SwarmNode, SwarmTask } from '../swarm-task.ts'
import type { ArenaShare } from './arena-budget.ts'
import type { WorkerSide } from './piece-transfer.ts'
import { NO_FIGURES, type SwarmFigures, type WorkerNews } from './protocol.ts'
import type { StartWorker } from './worker-host.ts'

const MAX_RESTARTS = 3

export interface WorkerSuccessionDeps {
  readonly task: SwarmTask
  readonly share: ArenaShare
  /** As in WorkerTask; each worker begins with what is known by then. */
  readonly onDisk: Uint8Array
  readonly startWorker: StartWorker
  readonly log: Logger
  /** Not called any more when the succession is over. */
  onNews(news: WorkerNews, from: WorkerSide): void
  /** The last worker is lost. */
  onFailure(error: AgentError): void
}

export class WorkerSuccession {
  readonly #deps: WorkerSuccessionDeps
  /** What the next worker is to be. */
  #node: SwarmNode
  #current: WorkerSide
  /** Of all workers that are lost. */
  #earlier = NO_FIGURES
  #restarts = 0
  #isOver = false

  /** Starts the first one. */
  constructor(deps: WorkerSuccessionDeps) {
    this.#deps = deps
    this.#node = deps.task.node
    this.#current = this.#launch()
  }

  /** Closed, or the last worker is lost. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** The worker that there is now has said its first word. */
  get isUp(): boolean {
    return this.#current.host.isUp
  }

  /** That of the worker that there is now, or was last. */
  get memory(): SharedArrayBuffer {
    return this.#current.memory
  }

  get rack(): string | null {
    return this.#node.nearby.rack
  }

  /** Totals of all workers; peers of the one that there is now. */
  get figures(): SwarmFigures {
    const { peers, ...totals } = this.#current.host.figures
    const earlier = this.#earlier
    return {
      peers,
      uploadedBytes: totals.uploadedBytes + earlier.uploadedBytes,
      originBytes: totals.originBytes + earlier.originBytes,
      peerBytes: totals.peerBytes + earlier.peerBytes,
      duplicateBytes: totals.duplicateBytes + earlier.duplicateBytes,
    }
  }

  /** The next worker listens where this one does. */
  keepPort(listenPort: number): void {
    this.#node = { ...this.#node, listenPort }
  }

  /** Tells the worker, and those to come, the name of our rack. */
  nameRack(rack: string): void {
    if (this.#isOver || this.rack === rack) return
    this.#node = { ...this.#node, nearby: { ...this.#node.nearby, rack } }
    this.#current.host.send({ kind: 'rack', rack })
  }

  /** No worker follows. Resolves when the one that there is has ended. */
  async close(): Promise<void> {
    this.#isOver = true
    await this.#current.host.close()
  }

  #launch(): WorkerSide {
    const { task, share, onDisk, startWorker } = this.#deps
    // not that of a crashed worker: its thread may still be writing to it
    const memory = share.allocate()
    const side: WorkerSide = {
      memory,
      host: startWorker(
        {
          swarm: { ...task, node: this.#node },
          // a fresh one: peers may still hold the connections of a crashed worker
          peerId: createPeerId(),
          memory,
          arena: share.shape,
          onDisk: onDisk.slice(),
        },
        {
          onNews: (news) => {
            if (!this.#isOver) this.#deps.onNews(news, side)
          },
          onLost: (error) => this.#onLost(error),
        },
      ),
    }
    return side
  }

  #onLost(error: AgentError): void {
    if (this.#isOver) return
    this.#earlier = this.figures
    // one that never said a word has cost a minute, and will hardly do better
    this.#restarts += this.isUp ? 1 : 2
    if (this.#restarts > MAX_RESTARTS) {
      this.#isOver = true
      this.#deps.onFailure(error)
      return
    }
    this.#deps.log.warn({ err: error, restarts: this.#restarts }, 'swarm worker restarted')
    this.#current = this.#launch()
  }
}
