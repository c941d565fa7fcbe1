// SPDX-License-Identifier: Apache-2.0
// Owns the way HTTP requests leave this machine: redirects followed, deadlines kept, a body in memory or
// as it comes. Does not retry and does not judge statuses: the rooms above do.
import type { Config } from '../config/options.ts'
import { redactUrl } from '../core/redact.ts'
import { MiB } from '../core/units.ts'
import { type ConnectionOptions, createConnections } from './connections.ts'
import { exchange, type HttpHead, type HttpReceiver } from './exchange.ts'
import { HttpFailure } from './failure.ts'
import { targetOf, withCredentials, withoutAuthorization, withoutCredentials } from './target.ts'
import type { TlsSettings } from './tls.ts'

/** The part of Config a client needs; plain data, so that a worker thread can be given it. */
export type HttpClientSettings = TlsSettings &
  Partial<Pick<Config, 'image_download_connection_timeout'>>

export interface HttpClientOptions extends ConnectionOptions {
  readonly config: HttpClientSettings
}

export interface HttpRequestOptions {
  /** GET unless given. Redirects are followed for GET and HEAD only. */
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array | undefined
  readonly signal?: AbortSignal | undefined
  /** Closes the connection after the answer: for calls so rare that a kept one would be stale by the next. */
  readonly isLast?: boolean | undefined
}

export interface HttpResponse extends HttpHead {
  readonly bytes: Uint8Array
  text(): string
}

export interface HttpClient extends AsyncDisposable {
  /**
   * One exchange with its body in memory.
   * @param options `timeoutMs` bounds the whole exchange (60 s unless given), `maxBytes` the body (16 MiB)
   * @throws HttpFailure, or the reason of `signal`
   */
  request(
    url: string,
    options?: HttpRequestOptions & { timeoutMs?: number; maxBytes?: number },
  ): Promise<HttpResponse>
  /**
   * One exchange whose body goes to `receiver` piece by piece, without a copy in between.
   * @param options `readTimeoutMs` bounds the wait for the head and for each read (60 s unless given)
   * @throws HttpFailure, the reason of `signal`, or what the receiver threw
   */
  stream(
    url: string,
    options: HttpRequestOptions & { readTimeoutMs?: number },
    receiver: HttpReceiver,
  ): Promise<void>
}

const MAX_REDIRECTS = 10
const DEFAULT_TIMEOUT_S = 60

/**
 * A client with its own connections; disposing of it closes them.
 * @throws AgentError InvalidConfigError for certificate files or proxies that cannot be used
 */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  const { config } = options
  const defaultTimeoutMs = (config.image_download_connection_timeout ?? DEFAULT_TIMEOUT_S) * 1000
  const connections = createConnections(options, defaultTimeoutMs)

  const stream: HttpClient['stream'] = async (url, request, receiver) => {
    const readTimeoutMs = request.readTimeoutMs ?? defaultTimeoutMs
    const method = request.method ?? 'GET'
    let target = targetOf(url)
    let headers = withCredentials(request.headers ?? {}, target)
    for (let hop = 0; ; hop++) {
      request.signal?.throwIfAborted()
      const bare = withoutCredentials(target)
      const location = await exchange(connections.to(target), {
        url: bare,
        method,
        headers,
        body: request.body,
        signal: request.signal,
        isLast: request.isLast,
        readTimeoutMs,
        receiver,
      })
      if (location === undefined) return
      if (hop === MAX_REDIRECTS) {
        throw new HttpFailure('redirect', `${redactUrl(url)}: more than ${MAX_REDIRECTS} redirects`)
      }
      const next = targetOf(location, bare)
      if (next.origin !== bare.origin) headers = withoutAuthorization(headers)
      target = withoutCredentials(next)
    }
  }

  return {
    stream,
    request: async (url, request = {}) => {
      const maxBytes = request.maxBytes ?? 16 * MiB
      const timeoutMs = request.timeoutMs ?? DEFAULT_TIMEOUT_S * 1000
      const deadline = new AbortController()
      const timer = setTimeout(() => {
        deadline.abort(
          new HttpFailure('timeout', `${redactUrl(url)}: no answer within ${timeoutMs / 1000} s`),
        )
      }, timeoutMs)
      const signal = request.signal
        ? AbortSignal.any([request.signal, deadline.signal])
        : deadline.signal
      try {
        return await buffered(url, maxBytes, (receiver) =>
          stream(url, { ...request, signal, readTimeoutMs: timeoutMs }, receiver),
        )
      } finally {
        clearTimeout(timer)
      }
    },
    [Symbol.asyncDispose]: () => connections.destroy(),
  }
}

async function buffered(
  url: string,
  maxBytes: number,
  run: (receiver: HttpReceiver) => Promise<void>,
): Promise<HttpResponse> {
  const parts: Uint8Array[] = []
  let head: HttpHead | undefined
  let length = 0
  await run({
    onHead: (received) => {
      head = received
    },
    onBytes: (bytes) => {
      length += bytes.length
      if (length > maxBytes) {
        throw new HttpFailure(
          'too-large',
          `${redactUrl(url)}: the answer exceeds ${maxBytes} bytes`,
        )
      }
      parts.push(Uint8Array.from(bytes))
    },
  })
  if (!head) throw new HttpFailure('protocol', `${redactUrl(url)}: no answer`)
  const bytes = new Uint8Array(Buffer.concat(parts))
  return { ...head, bytes, text: () => new TextDecoder().decode(bytes) }
}
