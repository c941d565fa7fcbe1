// SPDX-License-Identifier: Apache-2.0
// Owns the life of one swarm worker as the agent's thread sees it: start, messages, hang detection, end.
// Does not decide what happens after a crash.
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

const LOOK_MS = 1000
/** For `stopped` to reach the trackers, and some for a busy machine. */
const CLOSE_MS = 4000
/** How long the end of the thread is waited for: a name that is being resolved holds it up (getaddrinfo(3)). */
const TERMINATE_MS = 30_000

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

/** What is run as a worker, and how long it may say nothing: before its first word, and from then on. */
export interface WorkerKind {
  readonly script: URL
  readonly startMs: number
  readonly hangMs: number
}

export const SWARM_WORKER: WorkerKind = {
  script: new URL('./swarm-worker.ts', import.meta.url),
  // loading the modules takes half a minute in an emulated or overloaded machine
  startMs: 60_000,
  hangMs: 15_000,
}

export function createWorkerStarter(kind: WorkerKind): StartWorker {
  return (task, handlers) => startWorker(kind, task, handlers)
}

/** The swarm's own worker. */
export function startSwarmWorker(task: WorkerTask, handlers: WorkerHostHandlers): WorkerHost {
  return startWorker(SWARM_WORKER, task, handlers)
}

function startWorker(
  { script, startMs, hangMs }: WorkerKind,
  task: WorkerTask,
  handlers: WorkerHostHandlers,
): WorkerHost {
  const worker = new Worker(script, {
    name: 'swarm',
    workerData: task,
    env: WORKER_ENVIRONMENT,
    // what the library prints is not for the console
    stdout: true,
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 4 },
  })
  let figures = NO_FIGURES
  let heardAt = performance.now()
  let isUp = false
  let isOver = false
  let closing: Promise<void> | undefined
  let stderrTail = ''
  const farewell = Promise.withResolvers<void>()

  function lose(reason: string, cause?: unknown): void {
    farewell.resolve()
    if (isOver) return
    isOver = true
    clearInterval(watchdog)
    const tail = stderrTail === '' ? '' : `; it printed: ${stderrTail}`
    worker.terminate().catch(() => undefined)
    if (closing === undefined) {
      handlers.onLost(new AgentError('SwarmError', `the swarm worker ${reason}${tail}`, { cause }))
    }
  }

  worker.stdout.resume()
  worker.stderr.setEncoding('utf8')
  worker.stderr.on('data', (text: string) => {
    stderrTail = (stderrTail + text).slice(-500)
  })
  worker.on('message', (news: WorkerNews) => {
    if (isOver) return
    heardAt = performance.now()
    isUp = true
    if (news.kind === 'pulse') figures = news.figures
    if (news.kind === 'closed') farewell.resolve()
    else handlers.onNews(news)
  })
  worker.on('messageerror', (error) => lose('sent an unreadable message', error))
  worker.on('error', (error) => lose(`crashed: ${messageOf(error)}`, error))
  worker.on('exit', (code) => lose(`ended with code ${code}`))
  let lookedAt = heardAt
  const watchdog = setInterval(() => {
    const now = performance.now()
    // this thread itself was held up, or the machine slept: the worker's news wait in the queue
    if (now - lookedAt > 3 * LOOK_MS) heardAt = now
    lookedAt = now
    const silentMs = now - heardAt
    const seconds = Math.round(silentMs / 1000)
    if (!isUp && silentMs > startMs) lose(`has not started within ${seconds} s`)
    if (isUp && silentMs > hangMs) lose(`hangs: no sign of life for ${seconds} s`)
  }, LOOK_MS)
  watchdog.unref()

  async function end(): Promise<void> {
    const deadline = setTimeout(farewell.resolve, CLOSE_MS)
    if (!isOver) worker.postMessage({ kind: 'close' } satisfies WorkerOrder)
    await farewell.promise
    clearTimeout(deadline)
    clearInterval(watchdog)
    isOver = true
    await endedOrLate(worker.terminate(), TERMINATE_MS)
  }

  return {
    get figures() {
      return figures
    },
    get isUp() {
      return isUp
    },
    send: (order) => {
      if (!isOver) worker.postMessage(order)
    },
    close: () => {
      closing ??= end()
      return closing
    },
  }
}
