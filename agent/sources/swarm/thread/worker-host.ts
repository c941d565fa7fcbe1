// SPDX-License-Identifier: Apache-2.0
// Owns the life of one swarm worker as the agent's thread sees it: start, messages, loss, end. Does not decide what
// happens after a crash.
import { Worker } from 'node:worker_threads'
import { endedOrLate } from '../../../core/deadline.ts'
import { AgentError, messageOf } from '../../../core/errors.ts'
import {
  NO_FIGURES,
  type SwarmFigures,
  type WorkerNews,
  type WorkerOrder,
  type WorkerTask,
} from './protocol.ts'
import { type Patience, PulseWatch } from './pulse-watch.ts'

/** For `stopped` to reach the trackers, and some for a busy machine. */
const CLOSE_MS = 4000
/** How long the end of the thread is waited for: a name that is being resolved holds it up (getaddrinfo(3)). */
const TERMINATE_MS = 30_000
/** Of what a worker prints the end is kept: why Node ended it. */
const STDERR_CHARACTERS = 500

/**
 * All of its environment. ws would load native addons (bufferutil, utf-8-validate), which end the whole process where
 * their thread is ended meanwhile; nobody here speaks over WebSocket.
 */
const WORKER_ENVIRONMENT = { WS_NO_BUFFER_UTIL: '1', WS_NO_UTF_8_VALIDATE: '1' }

export interface WorkerHost {
  readonly figures: SwarmFigures
  /** It has said its first word: from now on silence is a sign. */
  readonly isUp: boolean
  send(order: WorkerOrder): void
  /** Lets the worker take its leave, then ends it. Idempotent. */
  close(): Promise<void>
}

export interface WorkerHostHandlers {
  onNews(news: WorkerNews): void
  /** It crashed or hung; called once, and never after `close`. */
  onLost(error: AgentError): void
}

/** Starts a worker for the task. */
export type StartWorker = (task: WorkerTask, handlers: WorkerHostHandlers) => WorkerHost

/** What is run as a worker, and how patient its host is. */
export interface WorkerKind extends Patience {
  readonly script: URL
}

export const SWARM_WORKER: WorkerKind = {
  script: new URL('./swarm-worker.ts', import.meta.url),
  // loading the modules takes half a minute in an emulated or overloaded machine
  startMs: 60_000,
  hangMs: 15_000,
}

/** Starts workers of this kind. */
export function createWorkerStarter(kind: WorkerKind): StartWorker {
  return (task, handlers) => new HostedWorker(kind, task, handlers)
}

/** The swarm's own worker. */
export function startSwarmWorker(task: WorkerTask, handlers: WorkerHostHandlers): WorkerHost {
  return new HostedWorker(SWARM_WORKER, task, handlers)
}

class HostedWorker implements WorkerHost {
  readonly #worker: Worker
  readonly #handlers: WorkerHostHandlers
  readonly #watch: PulseWatch
  readonly #farewell = Promise.withResolvers<void>()
  #figures = NO_FIGURES
  #stderrTail = ''
  /** Nothing that it says counts any more. */
  #isOver = false
  #closing: Promise<void> | undefined

  constructor(kind: WorkerKind, task: WorkerTask, handlers: WorkerHostHandlers) {
    this.#handlers = handlers
    this.#worker = new Worker(kind.script, {
      name: 'swarm',
      workerData: task,
      env: WORKER_ENVIRONMENT,
      // what the library prints is not for the console
      stdout: true,
      stderr: true,
      resourceLimits: { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 4 },
    })
    this.#watch = new PulseWatch(kind, (reason) => this.#lose(reason))
    this.#listen()
  }

  get figures(): SwarmFigures {
    return this.#figures
  }

  get isUp(): boolean {
    return this.#watch.isUp
  }

  send(order: WorkerOrder): void {
    if (!this.#isOver) this.#worker.postMessage(order)
  }

  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  #listen(): void {
    const worker = this.#worker
    worker.stdout.resume()
    worker.stderr.setEncoding('utf8')
    worker.stderr.on('data', (text: string) => {
      this.#stderrTail = (this.#stderrTail + text).slice(-STDERR_CHARACTERS)
    })
    worker.on('message', (news: WorkerNews) => this.#onNews(news))
    worker.on('messageerror', (error) => this.#lose('sent an unreadable message', error))
    worker.on('error', (error) => this.#lose(`crashed: ${messageOf(error)}`, error))
    worker.on('exit', (code) => this.#lose(`ended with code ${code}`))
  }

  #onNews(news: WorkerNews): void {
    if (this.#isOver) return
    this.#watch.heard()
    if (news.kind === 'pulse') this.#figures = news.figures
    if (news.kind === 'closed') this.#farewell.resolve()
    else this.#handlers.onNews(news)
  }

  #lose(reason: string, cause?: unknown): void {
    this.#farewell.resolve()
    if (this.#isOver) return
    this.#isOver = true
    this.#watch.stop()
    this.#worker.terminate().catch(() => undefined)
    if (this.#closing !== undefined) return
    const tail = this.#stderrTail === '' ? '' : `; it printed: ${this.#stderrTail}`
    this.#handlers.onLost(
      new AgentError('SwarmError', `the swarm worker ${reason}${tail}`, { cause }),
    )
  }

  async #end(): Promise<void> {
    const deadline = setTimeout(this.#farewell.resolve, CLOSE_MS)
    this.send({ kind: 'close' })
    await this.#farewell.promise
    clearTimeout(deadline)
    this.#watch.stop()
    this.#isOver = true
    await endedOrLate(this.#worker.terminate(), TERMINATE_MS)
  }
}
