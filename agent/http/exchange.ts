// SPDX-License-Identifier: Apache-2.0
// Owns one request and its answer on a connection: head, flow of the body, the ways it can end.
// Does not follow redirects and does not know proxies.
import type { Dispatcher } from 'undici'
import { httpFailureOf } from './failure.ts'

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
  readonly readTimeoutMs: number
  readonly receiver: HttpReceiver
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/** One request and its answer. Resolves to the Location of a redirect, which the receiver never sees. */
export function exchange(dispatcher: Dispatcher, request: Exchange): Promise<string | undefined> {
  const { url, receiver, signal, method } = request
  const outcome = Promise.withResolvers<string | undefined>()
  let location: string | undefined
  let controller: Dispatcher.DispatchController | undefined
  let isOver = false
  let discarded = 0
  const settle = (act: () => void) => {
    if (isOver) return
    isOver = true
    signal?.removeEventListener('abort', onAbort)
    act()
  }
  const end = () => settle(() => outcome.resolve(location))
  const fail = (error: unknown) => settle(() => outcome.reject(error))
  const close = () => controller?.abort(new Error('closed by the agent'))
  const onAbort = () => {
    fail(signal?.reason)
    close()
  }
  const guarded = (act: () => void) => {
    if (isOver) return
    try {
      act()
    } catch (error) {
      fail(error)
      close()
    }
  }
  const flow: HttpFlow = {
    pause: () => controller?.pause(),
    resume: () => controller?.resume(),
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
        if (status < 200) return
        if (
          REDIRECTS.has(status) &&
          (method === 'GET' || method === 'HEAD') &&
          headers['location']
        ) {
          location = String(headers['location'])
          return
        }
        guarded(() => receiver.onHead({ status, headers, url: url.href }, flow))
      },
      onResponseData: (_, bytes) => {
        if (location === undefined) return guarded(() => receiver.onBytes(bytes))
        discarded += bytes.length
        if (discarded > 64 * 1024) flow.stop()
      },
      // undici counts the connection as busy for this turn still: a request made now would open another
      onResponseEnd: () => void setImmediate(end),
      onResponseError: (_, error) => {
        // a redirect's own body is of no interest, so neither is its bad end
        if (location !== undefined) end()
        else fail(httpFailureOf(error, url.href))
      },
    },
  )
  return outcome.promise
}
