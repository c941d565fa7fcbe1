// SPDX-License-Identifier: Apache-2.0
// Owns the thread of one third-party manager from outside: starts it, calls it with a deadline, ends it with every
// program that it has started. It may throw, hang, leak or end itself: the agent goes on. Does not know what calls mean.
import { Worker } from 'node:worker_threads'
import { endedOrLate, withDeadline } from '../../core/deadline.ts'
import { AgentError, ERROR_TABLE, type ErrorType, messageOf } from '../../core/errors.ts'
import type { Exec } from '../../system/exec.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { parseExecCall } from './answers.ts'
import type { FromManager, ManagerTask, Outcome, ToManager } from './protocol.ts'

/** Text of one value, characters. */
const MAX_CHARS = 16 * 1024 * 1024
/** Of one line that it prints. */
const MAX_LINE_CHARS = 4096
/** Its heap; what it holds outside of it is its own. */
const HEAP_MIB = 64
/** How long the end of the thread is waited for, ms. */
const TERMINATE_MS = 5000
/** After its signal has aborted a call has this long to end by itself, ms. */
const ABORT_GRACE_MS = 5000

export interface ThreadDeps {
  readonly exec: Exec
  readonly log: Logger
}

export interface ThreadCall {
  /** ms */
  readonly timeoutMs: number
  readonly signal?: AbortSignal
  /** Answers the step's wish to write an image. */
  readonly writeImage?: (imageInfo: unknown, configdrive: unknown) => Promise<string>
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

interface OpenCall {
  readonly answer: PromiseWithResolvers<unknown>
  /** Ends what the call has started. */
  readonly ended: AbortController
  readonly writeImage: ThreadCall['writeImage']
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
  const thread = startThread({ ...task, maxChars: MAX_CHARS }, deps)
  try {
    const manifest = await withDeadline(
      thread.loaded,
      timeoutMs,
      () => new AgentError('HardwareManagerConfigurationError', `it hangs: ${lateText(timeoutMs)}`),
    )
    return { ...thread, manifest }
  } catch (error) {
    await thread[Symbol.asyncDispose]()
    throw error
  }
}

function startThread(task: ManagerTask, { exec, log }: ThreadDeps) {
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
    stream.on('data', (chunk: Uint8Array) => {
      const text = Buffer.from(chunk).toString('utf8', 0, MAX_LINE_CHARS).trimEnd()
      log.info({ source, text }, 'hardware manager prints')
    })
  }
  const loaded = Promise.withResolvers<unknown>()
  loaded.promise.catch(() => undefined)
  const calls = new Map<number, OpenCall>()
  const loading: OpenCall = {
    answer: loaded,
    ended: new AbortController(),
    writeImage: undefined,
  }
  let lastId = 0
  let why: AgentError | undefined
  // of a call that was too late
  let worn: AgentError | undefined
  const tell = (order: ToManager) => worker.postMessage(order)

  const end = async (reason: AgentError) => {
    why ??= reason
    for (const { answer, ended } of [loading, ...calls.values()]) {
      ended.abort()
      answer.reject(why)
    }
    calls.clear()
    await endedOrLate(worker.terminate(), TERMINATE_MS)
  }
  const endIfWorn = () => {
    if (worn && calls.size === 0) void end(worn)
  }
  /** An erasure that runs beside it, for a day, does not end with it. */
  const giveUp = (id: number, reason: AgentError) => {
    const call = calls.get(id)
    calls.delete(id)
    call?.ended.abort()
    call?.answer.reject(reason)
    worn ??= reason
    endIfWorn()
  }
  const answerQuestion = async ({
    id,
    question,
    what,
    argsJson,
  }: Extract<FromManager, { kind: 'ask' }>) => {
    const call = calls.get(id) ?? loading
    const ask = async () => {
      if (what === 'exec') {
        const { argv, options } = parseExecCall(JSON.parse(argsJson))
        return await exec(argv, { ...options, signal: call.ended.signal })
      }
      const [imageInfo, configdrive] = JSON.parse(argsJson)
      if (call.writeImage) return await call.writeImage(imageInfo, configdrive)
      throw new AgentError('CommandExecutionError', 'only a step can write an image')
    }
    const outcome = await ask().then(
      (value): Outcome => ({ json: JSON.stringify(value) }),
      (error: unknown): Outcome => errorOutcome(error),
    )
    tell({ kind: 'answer', question, outcome })
  }
  const hear = (news: FromManager) => {
    if (news.kind === 'loaded') {
      loading.ended.abort()
      loaded.resolve(JSON.parse(news.manifestJson))
    } else if (news.kind === 'failed') {
      void end(new AgentError('HardwareManagerConfigurationError', news.message))
    } else if (news.kind === 'outcome') {
      const call = calls.get(news.id)
      calls.delete(news.id)
      call?.ended.abort()
      settle(call?.answer, news.outcome)
      endIfWorn()
    } else if (news.kind === 'log') {
      const level = news.level === 'debug' || news.level === 'warn' ? news.level : 'info'
      log[level]({ ...JSON.parse(news.factsJson || '{}') }, news.message.slice(0, MAX_LINE_CHARS))
    } else void answerQuestion(news)
  }
  const endedBy = (details: string) =>
    void end(new AgentError('HardwareManagerConfigurationError', details))
  worker.on('message', (news: FromManager) => {
    try {
      hear(news)
    } catch (error) {
      endedBy(`its thread talks nonsense: ${messageOf(error)}`)
    }
  })
  worker.on('error', (error) => endedBy(`its thread ended: ${messageOf(error)}`))
  worker.on('exit', (code) => endedBy(`its thread ended by itself, exit code ${code}`))

  return {
    loaded: loaded.promise,
    isAlive: () => why === undefined && worn === undefined,
    hasEnded: () => why !== undefined,
    call: async (callee: Callee, args: unknown, { timeoutMs, signal, writeImage }: ThreadCall) => {
      if (why) throw why
      const id = ++lastId
      const call: OpenCall = {
        answer: Promise.withResolvers<unknown>(),
        ended: new AbortController(),
        writeImage,
      }
      calls.set(id, call)
      const argsJson = JSON.stringify(args)
      if ('method' in callee) tell({ kind: 'call', id, method: callee.method, argsJson })
      else tell({ kind: 'step', id, index: callee.step, argsJson })
      const late = (text: string) => new AgentError('CommandExecutionError', text)
      let grace: NodeJS.Timeout | undefined
      const onAbort = () => {
        tell({ kind: 'abort', id })
        call.ended.abort()
        grace = setTimeout(
          () => giveUp(id, late('it did not end when it was told to')),
          ABORT_GRACE_MS,
        )
      }
      const onAlarm = () => {
        tell({ kind: 'abort', id })
        giveUp(id, late(`it hangs: ${lateText(timeoutMs)}`))
      }
      const alarm = setTimeout(onAlarm, timeoutMs)
      if (signal?.aborted) onAbort()
      else signal?.addEventListener('abort', onAbort, { once: true })
      try {
        return await call.answer.promise
      } finally {
        clearTimeout(alarm)
        clearTimeout(grace)
        signal?.removeEventListener('abort', onAbort)
      }
    },
    [Symbol.asyncDispose]: () =>
      end(new AgentError('CancelledError', 'the hardware managers were closed')),
  }
}

function lateText(timeoutMs: number): string {
  return `no answer within ${timeoutMs / 1000} s`
}

function settle(answer: PromiseWithResolvers<unknown> | undefined, outcome: Outcome): void {
  if (!('type' in outcome)) {
    answer?.resolve(outcome.json === undefined ? undefined : JSON.parse(outcome.json))
    return
  }
  const { type, details } = outcome
  if (Object.hasOwn(ERROR_TABLE, type)) answer?.reject(new AgentError(type as ErrorType, details))
  else answer?.reject(new AgentError('CommandExecutionError', `${type}: ${details}`))
}

function errorOutcome(error: unknown): Outcome {
  if (error instanceof AgentError) return { type: error.type, details: error.details }
  return { type: 'CommandExecutionError', details: messageOf(error) }
}
