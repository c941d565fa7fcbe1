// SPDX-License-Identifier: Apache-2.0
// Owns a call that a third-party manager has not answered yet: its answer, its deadline and what ends with it. Does not
// know the thread (manager-thread.ts).
import { AgentError, ERROR_TABLE, type ErrorType } from '../../core/errors.ts'
import type { Outcome } from './protocol.ts'

/** After its signal has aborted a call has this long to end by itself, ms. */
const ABORT_GRACE_MS = 5000

/** Answers the step's wish to write an image. */
export type WriteImage = (imageInfo: unknown, configdrive: unknown) => Promise<string>

export interface Patience {
  /** ms */
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

/** What becomes of a call that shall not go on. */
export interface Unanswered {
  /** The manager is to end it. */
  abort(): void
  /** It did not: nobody waits for it any more. */
  giveUp(reason: AgentError): void
}

export class OpenCall {
  readonly writeImage: WriteImage | undefined
  readonly #answer = Promise.withResolvers<unknown>()
  readonly #ending = new AbortController()

  constructor(writeImage?: WriteImage) {
    this.writeImage = writeImage
    // it may fail when nobody waits for it any more, or yet
    this.#answer.promise.catch(() => undefined)
  }

  /** Not yet looked at. */
  get answer(): Promise<unknown> {
    return this.#answer.promise
  }

  /** Aborts with the call: what it has started is to end then. */
  get signal(): AbortSignal {
    return this.#ending.signal
  }

  /**
   * What the manager answers is what the call answers: throws what it throws, as the type it names if there is such a
   * type, else CommandExecutionError. Throws SyntaxError or TypeError for what is no outcome.
   */
  settle(outcome: Outcome): void {
    this.#ending.abort()
    if ('type' in outcome) this.#answer.reject(thrownBy(outcome))
    else this.#answer.resolve(outcome.json === undefined ? undefined : JSON.parse(outcome.json))
  }

  fail(reason: AgentError): void {
    this.#ending.abort()
    this.#answer.reject(reason)
  }

  /** The answer. One that is too late, or goes on after the signal has aborted, is given up. */
  async answerWithin({ timeoutMs, signal }: Patience, call: Unanswered): Promise<unknown> {
    const late = (text: string) => call.giveUp(new AgentError('CommandExecutionError', text))
    let grace: NodeJS.Timeout | undefined
    const onAbort = () => {
      call.abort()
      this.#ending.abort()
      grace = setTimeout(() => late('it did not end when it was told to'), ABORT_GRACE_MS)
    }
    const onAlarm = () => {
      call.abort()
      late(`it hangs: ${lateText(timeoutMs)}`)
    }
    const alarm = setTimeout(onAlarm, timeoutMs)
    if (signal?.aborted) onAbort()
    else signal?.addEventListener('abort', onAbort, { once: true })
    try {
      return await this.#answer.promise
    } finally {
      clearTimeout(alarm)
      clearTimeout(grace)
      signal?.removeEventListener('abort', onAbort)
    }
  }
}

export function lateText(timeoutMs: number): string {
  return `no answer within ${timeoutMs / 1000} s`
}

function thrownBy({ type, details }: Extract<Outcome, { type: string }>): AgentError {
  return Object.hasOwn(ERROR_TABLE, type)
    ? new AgentError(type as ErrorType, details)
    : new AgentError('CommandExecutionError', `${type}: ${details}`)
}
