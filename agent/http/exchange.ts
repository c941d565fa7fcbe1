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
  const { url, receiver, signal, method } = request
  const outcome = Promise.withResolvers<Redirect | undefined>()
  let redirect: Redirect | undefined
  let controller: Dispatcher.DispatchController | undefined
  let floor: SpeedFloor | undefined
  let isOver = false
  let discarded = 0
  let interimAnswers = 0
  const settle = (act: () => void) => {
    if (isOver) return
    isOver = true
    clearTimeout(timer)
    floor?.[Symbol.dispose]()
    signal?.removeEventListener('abort', onAbort)
    act()
  }
  const end = () => settle(() => outcome.resolve(redirect))
  const fail = (error: unknown) => settle(() => outcome.reject(error))
  const close = () => controller?.abort(new Error('closed by the agent'))
  const giveUp = (reason: unknown) => {
    fail(reason)
    close()
  }
  const onAbort = () => giveUp(signal?.reason)
  const failure = (reason: 'timeout' | 'protocol', what: string) =>
    new HttpFailure(reason, `${redactUrl(url.href)}: ${what}`)
  let timer = setTimeout(() => {
    const seconds = Math.ceil(request.headTimeoutMs) / 1000
    giveUp(failure('timeout', `no complete head of an answer within ${seconds} s`))
  }, timerMs(request.headTimeoutMs))
  const guarded = (act: () => void) => {
    if (isOver) return
    try {
      act()
    } catch (error) {
      giveUp(error)
    }
  }
  const onTooSlow = (bytes: number) => {
    const { bytesPerSecond = 0, seconds = 0 } = request.slowest ?? {}
    giveUp(
      failure(
        'timeout',
        `too slow: ${bytes} bytes came in ${seconds} s, the least is ${bytesPerSecond} bytes per second`,
      ),
    )
  }
  const flow: HttpFlow = {
    pause: () => {
      floor?.pause()
      controller?.pause()
    },
    resume: () => {
      floor?.resume()
      controller?.resume()
    },
    stop: () => {
      end()
      close()
    },
  }
  signal?.addEventListener('abort', onAbort, { once: true })
  dispatcher.dispatch(
    {
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: method as Dispatcher.HttpMethod,
      headers: { 'user-agent': 'ironswarm', 'accept-encoding': 'identity', ...request.headers },
      body: request.body ?? null,
      headersTimeout: request.readTimeoutMs,
      bodyTimeout: request.readTimeoutMs,
      reset: request.isLast ?? false,
    },
    {
      onRequestStart: (started) => {
        controller = started
        if (isOver) close()
      },
      onResponseStart: (_, status, headers) => {
        if (isOver) return
        if (status < 200) {
          interimAnswers++
          if (interimAnswers <= MAX_INTERIM_ANSWERS) return
          return giveUp(failure('protocol', `${interimAnswers} answers of status 1xx and no other`))
        }
        clearTimeout(timer)
        redirect = redirectOf(method, status, headers)
        if (redirect) {
          timer = setTimeout(flow.stop, REDIRECT_BODY.timeoutMs)
          return
        }
        floor = createSpeedFloor(request.slowest, onTooSlow)
        guarded(() => receiver.onHead({ status, headers, url: url.href }, flow))
      },
      onResponseData: (_, bytes) => {
        floor?.took(bytes.length)
        if (redirect === undefined) return guarded(() => receiver.onBytes(bytes))
        discarded += bytes.length
        if (discarded > REDIRECT_BODY.maxBytes) flow.stop()
      },
      // undici counts the connection as busy for this turn still: a request made now would open another
      onResponseEnd: () => void setImmediate(end),
      onResponseError: (_, error) => {
        // a redirect's own body is of no interest, so neither is its bad end
        if (redirect !== undefined) end()
        else fail(httpFailureOf(error, url.href))
      },
    },
  )
  return outcome.promise
}

function redirectOf(method: string, status: number, headers: HttpHeaders): Redirect | undefined {
  const isFollowed =
    SAME_METHOD_REDIRECTS.has(status) ||
    (REDIRECTS.has(status) && (method === 'GET' || method === 'HEAD'))
  if (!isFollowed || !headers['location']) return undefined
  return { location: [headers['location']].flat()[0] as string, setCookie: headers['set-cookie'] }
}
