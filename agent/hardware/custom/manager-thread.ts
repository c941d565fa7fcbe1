// SPDX-License-Identifier: Apache-2.0
// Owns the thread of one third-party manager from outside: starts it, calls it with a deadline, ends it with every
// program that it has started. It may throw, hang, leak or end itself: the agent goes on. Does not know what calls mean.
import { Worker } from 'node:worker_threads'
import { endedOrLate, withDeadline } from '../../core/deadline.ts'
import { AgentError, messageOf } from '../../core/errors.ts'
import type { Exec } from '../../system/exec.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { lateText, OpenCall, type Patience, type WriteImage } from './open-call.ts'
import type { FromManager, ManagerTask, ToManager } from './protocol.ts'
import { answerQuestion, type Question } from './questions.ts'

/** Text of one value, characters. */
const MAX_CHARS = 16 * 1024 * 1024
/** Of one line that it prints. */
const MAX_LINE_CHARS = 4096
/** Its heap; what it holds outside of it is its own. */
const HEAP_MIB = 64
/** How long the end of the thread is waited for, ms. */
const TERMINATE_MS = 5000

export interface ThreadDeps {
  readonly exec: Exec
  readonly log: Logger
}

export interface ThreadCall extends Patience {
  readonly writeImage?: WriteImage
}

/** What of a manager is called: a method by its name, or a step by its number. */
export type Callee = { readonly method: string } | { readonly step: number }

export interface ManagerThread extends AsyncDisposable {
  /** What it says of itself, not yet looked at. */
  readonly manifest: unknown
  /** False once it has ended, whoever ended it, and once a call was too late: what is still open goes on. */
  isAlive(): boolean
  /** No call of it is open, and none will be. */
  hasEnded(): boolean
  /**
   * What the manager answers, not yet looked at. Throws what it throws, as the type it names if there is such a
   * type, else CommandExecutionError. After one that is too late the thread ends, as soon as no other call is open.
   */
  call(callee: Callee, args: unknown, options: ThreadCall): Promise<unknown>
}

/**
 * Starts the thread and loads the file in it.
 * @param calls names of all calls there are
 * @throws AgentError HardwareManagerConfigurationError: why it cannot be used
 */
export async function openManagerThread(
  task: Pick<ManagerTask, 'path' | 'apiVersion' | 'calls'>,
  deps: ThreadDeps,
  timeoutMs: number,
): Promise<ManagerThread> {
  const thread = new Thread(startWorker({ ...task, maxChars: MAX_CHARS }, deps.log), deps)
  try {
    thread.manifest = await withDeadline(
      thread.loaded,
      timeoutMs,
      () => new AgentError('HardwareManagerConfigurationError', `it hangs: ${lateText(timeoutMs)}`),
    )
    return thread
  } catch (error) {
    await thread[Symbol.asyncDispose]()
    throw error
  }
}

function startWorker(task: ManagerTask, log: Logger): Worker {
  const worker = new Worker(new URL('./manager-worker.ts', import.meta.url), {
    workerData: task,
    stdout: true,
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB, maxYoungGenerationSizeMb: 4 },
  })
  // it must not keep an agent alive that has ended
  worker.unref()
  for (const [stream, source] of [
    [worker.stdout, 'stdout'],
    [worker.stderr, 'stderr'],
  ] as const) {
    stream.on('data', (bytes: Uint8Array) => {
      const text = Buffer.from(bytes).toString('utf8', 0, MAX_LINE_CHARS).trimEnd()
      log.info({ source, text }, 'hardware manager prints')
    })
  }
  return worker
}

class Thread implements ManagerThread {
  manifest: unknown
  readonly #worker: Worker
  readonly #deps: ThreadDeps
  readonly #loading = new OpenCall()
  readonly #calls = new Map<number, OpenCall>()
  #lastId = 0
  /** Why it has ended. */
  #ended: AgentError | undefined
  /** Why it ends after the calls that are open: one before was too late. */
  #worn: AgentError | undefined

  constructor(worker: Worker, deps: ThreadDeps) {
    this.#worker = worker
    this.#deps = deps
    worker.on('message', (news: FromManager) => {
      try {
        this.#hear(news)
      } catch (error) {
        this.#broke(`its thread talks nonsense: ${messageOf(error)}`)
      }
    })
    worker.on('error', (error) => this.#broke(`its thread ended: ${messageOf(error)}`))
    worker.on('exit', (code) => this.#broke(`its thread ended by itself, exit code ${code}`))
  }

  /** The manifest, once it is there. */
  get loaded(): Promise<unknown> {
    return this.#loading.answer
  }

  isAlive(): boolean {
    return this.#ended === undefined && this.#worn === undefined
  }

  hasEnded(): boolean {
    return this.#ended !== undefined
  }

  async call(callee: Callee, args: unknown, options: ThreadCall): Promise<unknown> {
    if (this.#ended) throw this.#ended
    const id = ++this.#lastId
    const call = new OpenCall(options.writeImage)
    this.#calls.set(id, call)
    const argsJson = JSON.stringify(args)
    if ('method' in callee) this.#tell({ kind: 'call', id, method: callee.method, argsJson })
    else this.#tell({ kind: 'step', id, index: callee.step, argsJson })
    return await call.answerWithin(options, {
      abort: () => this.#tell({ kind: 'abort', id }),
      giveUp: (reason) => this.#giveUp(id, reason),
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#end(new AgentError('CancelledError', 'the hardware managers were closed'))
  }

  #tell(order: ToManager): void {
    this.#worker.postMessage(order)
  }

  #hear(news: FromManager): void {
    if (news.kind === 'loaded') this.#loading.settle({ json: news.manifestJson })
    else if (news.kind === 'failed') this.#broke(news.message)
    else if (news.kind === 'outcome') {
      // first: what is no outcome ends the thread, and with it the calls that are open
      this.#calls.get(news.id)?.settle(news.outcome)
      this.#calls.delete(news.id)
      this.#endIfWorn()
    } else if (news.kind === 'log') this.#log(news)
    else void this.#answer(news)
  }

  #log({ level, message, factsJson }: Extract<FromManager, { kind: 'log' }>): void {
    const known = level === 'debug' || level === 'warn' ? level : 'info'
    this.#deps.log[known]({ ...JSON.parse(factsJson || '{}') }, message.slice(0, MAX_LINE_CHARS))
  }

  async #answer(asked: Question): Promise<void> {
    const call = this.#calls.get(asked.id) ?? this.#loading
    const outcome = await answerQuestion(asked, call, this.#deps.exec)
    this.#tell({ kind: 'answer', question: asked.question, outcome })
  }

  /** An erasure that runs beside it, for a day, does not end with it. */
  #giveUp(id: number, reason: AgentError): void {
    this.#calls.get(id)?.fail(reason)
    this.#calls.delete(id)
    this.#worn ??= reason
    this.#endIfWorn()
  }

  #endIfWorn(): void {
    if (this.#worn && this.#calls.size === 0) void this.#end(this.#worn)
  }

  #broke(details: string): void {
    void this.#end(new AgentError('HardwareManagerConfigurationError', details))
  }

  async #end(reason: AgentError): Promise<void> {
    this.#ended ??= reason
    for (const call of [this.#loading, ...this.#calls.values()]) call.fail(this.#ended)
    this.#calls.clear()
    await endedOrLate(this.#worker.terminate(), TERMINATE_MS)
  }
}
