// SPDX-License-Identifier: Apache-2.0
// Owns one request and its answer on a connection: head, flow of the body, the ways it can end.
// Does not follow redirects and does not know proxies.
import type { Dispatcher } from 'undici'
import { timerMs } from '../core/deadline.ts'
import { redactUrl } from '../core/redact.ts'
import { HttpFailure, httpFailureOf } from './failure.ts'
import { createSpeedFloor, type SlowestRate, type SpeedFloor } from './speed-floor.ts'

export type HttpHeaders = Readonly<Record<string, string | string[] | undefined>>

export interface HttpHead {
  readonly status: number
  readonly headers: HttpHeaders
  /** After redirects; may hold secrets: pass it through redactUrl before showing it. */
  readonly url: string
}

/** Steers the body while it comes in. */
export interface HttpFlow {
  pause(): void
  resume(): void
  /** Enough: closes the connection and ends the exchange without an error. */
  stop(): void
}

/** Takes an answer as it comes in. What a method throws ends the exchange and is thrown by `stream`. */
export interface HttpReceiver {
  onHead(head: HttpHead, flow: HttpFlow): void
  /** `bytes` are only valid during the call. A few calls may still come after `flow.pause()`. */
  onBytes(bytes: Uint8Array): void
}

export interface Exchange {
  readonly url: URL
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array | undefined
  readonly signal: AbortSignal | undefined
  readonly isLast: boolean | undefined
  /** Longest silence, before the head and in the body. */
  readonly readTimeoutMs: number
  /** The head must be there by then, however busily the server sends what is none. */
  readonly headTimeoutMs: number
  readonly slowest: SlowestRate | undefined
  readonly receiver: HttpReceiver
}

/** An answer that sends elsewhere. */
export interface Redirect {
  readonly location: string
  readonly setCookie: string | string[] | undefined
}

/** These turn into a GET, which a request with a body is not. */
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303])
/** RFC 9110 15.4.8, 15.4.9: method and body stay what they are. */
const SAME_METHOD_REDIRECTS: ReadonlySet<number> = new Set([307, 308])
/** A server that works on an answer says so every 20 s or so (RFC 2518 10.1). */
const MAX_INTERIM_ANSWERS = 64
/** The body of a redirect is waited for only to use its connection again. */
const REDIRECT_BODY = { maxBytes: 64 * 1024, timeoutMs: 1000 } as const

/** One request and its answer. Resolves to where a redirect leads, which the receiver never sees. */
export function exchange(dispatcher: Dispatcher, request: Exchange): Promise<Redirect | undefined> {
  const { url, method, readTimeoutMs } = request
  const answer = new Answer(request)
  dispatcher.dispatch(
    {
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: method as Dispatcher.HttpMethod,
      headers: { 'user-agent': 'ironswarm', 'accept-encoding': 'identity', ...request.headers },
      body: request.body ?? null,
      headersTimeout: readTimeoutMs,
      bodyTimeout: readTimeoutMs,
      reset: request.isLast ?? false,
    },
    answer,
  )
  return answer.outcome
}

/** The answer as undici brings it, to the end of it that comes first. */
class Answer implements Dispatcher.DispatchHandler, HttpFlow {
  readonly #request: Exchange
  readonly #outcome = Promise.withResolvers<Redirect | undefined>()
  readonly #onAbort = () => this.#giveUp(this.#request.signal?.reason)
  #timer: NodeJS.Timeout
  #controller: Dispatcher.DispatchController | undefined
  #redirect: Redirect | undefined
  #floor: SpeedFloor | undefined
  #isOver = false
  #discardedBytes = 0
  #interimAnswers = 0

  constructor(request: Exchange) {
    this.#request = request
    request.signal?.addEventListener('abort', this.#onAbort, { once: true })
    this.#timer = setTimeout(() => {
      const seconds = Math.ceil(request.headTimeoutMs) / 1000
      this.#giveUp(this.#failure('timeout', `no complete head of an answer within ${seconds} s`))
    }, timerMs(request.headTimeoutMs))
  }

  get outcome(): Promise<Redirect | undefined> {
    return this.#outcome.promise
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#isOver) this.#close()
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: HttpHeaders,
  ): void {
    if (this.#isOver) return
    if (status < 200) {
      this.#countInterim()
      return
    }
    clearTimeout(this.#timer)
    this.#redirect = redirectOf(this.#request.method, status, headers)
    if (this.#redirect) {
      this.#timer = setTimeout(() => this.stop(), REDIRECT_BODY.timeoutMs)
      return
    }
    const { slowest, receiver, url } = this.#request
    this.#floor = createSpeedFloor(slowest, (bytes) => this.#endTooSlow(bytes))
    this.#guard(() => receiver.onHead({ status, headers, url: url.href }, this))
  }

  onResponseData(_controller: Dispatcher.DispatchController, bytes: Uint8Array): void {
    this.#floor?.took(bytes.length)
    if (this.#redirect === undefined) {
      this.#guard(() => this.#request.receiver.onBytes(bytes))
      return
    }
    this.#discardedBytes += bytes.length
    if (this.#discardedBytes > REDIRECT_BODY.maxBytes) this.stop()
  }

  onResponseEnd(): void {
    // undici counts the connection as busy for this turn still: a request made now would open another
    setImmediate(() => this.#end())
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: unknown): void {
    // a redirect's own body is of no interest, so neither is its bad end
    if (this.#redirect !== undefined) this.#end()
    else this.#fail(httpFailureOf(error, this.#request.url.href))
  }

  pause(): void {
    this.#floor?.pause()
    this.#controller?.pause()
  }

  resume(): void {
    this.#floor?.resume()
    this.#controller?.resume()
  }

  stop(): void {
    this.#end()
    this.#close()
  }

  #countInterim(): void {
    this.#interimAnswers += 1
    if (this.#interimAnswers <= MAX_INTERIM_ANSWERS) return
    const what = `${this.#interimAnswers} answers of status 1xx and no other`
    this.#giveUp(this.#failure('protocol', what))
  }

  #endTooSlow(bytes: number): void {
    const { bytesPerSecond = 0, seconds = 0 } = this.#request.slowest ?? {}
    const what = `too slow: ${bytes} bytes came in ${seconds} s, the least is ${bytesPerSecond} bytes per second`
    this.#giveUp(this.#failure('timeout', what))
  }

  #failure(reason: 'timeout' | 'protocol', what: string): HttpFailure {
    return new HttpFailure(reason, `${redactUrl(this.#request.url.href)}: ${what}`)
  }

  /** What the receiver throws ends the exchange. */
  #guard(act: () => void): void {
    if (this.#isOver) return
    try {
      act()
    } catch (error) {
      this.#giveUp(error)
    }
  }

  #giveUp(reason: unknown): void {
    this.#fail(reason)
    this.#close()
  }

  #end(): void {
    if (this.#isOver) return
    this.#letGo()
    this.#outcome.resolve(this.#redirect)
  }

  #fail(error: unknown): void {
    if (this.#isOver) return
    this.#letGo()
    this.#outcome.reject(error)
  }

  #letGo(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#floor?.[Symbol.dispose]()
    this.#request.signal?.removeEventListener('abort', this.#onAbort)
  }

  #close(): void {
    this.#controller?.abort(new Error('closed by the agent'))
  }
}

function redirectOf(method: string, status: number, headers: HttpHeaders): Redirect | undefined {
  const isFollowed =
    SAME_METHOD_REDIRECTS.has(status) ||
    (REDIRECTS.has(status) && (method === 'GET' || method === 'HEAD'))
  if (!isFollowed || !headers['location']) return undefined
  return { location: [headers['location']].flat()[0] as string, setCookie: headers['set-cookie'] }
}
