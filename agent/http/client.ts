// SPDX-License-Identifier: Apache-2.0
// Owns the way HTTP requests leave this machine: deadlines kept, a body in memory or as it comes. Does not
// retry and does not judge statuses: the rooms above do.
import type { Config } from '../config/options.ts'
import { timerMs } from '../core/deadline.ts'
import { redactUrl } from '../core/redact.ts'
import { MiB } from '../core/units.ts'
import { type ConnectionOptions, createConnections } from './connections.ts'
import type { HttpHead, HttpReceiver } from './exchange.ts'
import { HttpFailure } from './failure.ts'
import { follow } from './follow.ts'
import { createForgivingExchange } from './forgiving-exchange.ts'
import type { SlowestRate } from './speed-floor.ts'
import type { TlsSettings } from './tls.ts'

/** The part of Config a client needs; plain data, so that a worker thread can be given it. */
export type HttpClientSettings = TlsSettings &
  Partial<Pick<Config, 'image_download_connection_timeout'>>

export interface HttpClientOptions extends ConnectionOptions {
  readonly config: HttpClientSettings
}

export interface HttpRequestOptions {
  /**
   * GET unless given. 307 and 308 are followed with method and body, to where the body may go (mayCarryBody);
   * 301, 302 and 303 are followed for GET and HEAD, for others they are the answer.
   */
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
   * @param options `readTimeoutMs` bounds the wait for each read (60 s unless given) and, twice of it, for the
   *   head with its connection and all redirects; `slowest` is the least rate of the body
   * @throws HttpFailure, the reason of `signal`, or what the receiver threw
   */
  stream(
    url: string,
    options: HttpRequestOptions & { readTimeoutMs?: number; slowest?: SlowestRate | undefined },
    receiver: HttpReceiver,
  ): Promise<void>
}

const DEFAULT_TIMEOUT_S = 60

/**
 * A client with its own connections; disposing of it closes them.
 * @throws AgentError InvalidConfigError for certificate files or proxies that cannot be used
 */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  const { config } = options
  const defaultTimeoutMs = (config.image_download_connection_timeout ?? DEFAULT_TIMEOUT_S) * 1000
  const connections = createConnections(options, defaultTimeoutMs)

  const send = createForgivingExchange(connections)

  const stream: HttpClient['stream'] = (url, request, receiver) =>
    follow(
      {
        url,
        method: request.method ?? 'GET',
        headers: request.headers ?? {},
        body: request.body,
        signal: request.signal,
        isLast: request.isLast,
        readTimeoutMs: request.readTimeoutMs ?? defaultTimeoutMs,
        slowest: request.slowest,
        receiver,
      },
      send,
    )

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
      }, timerMs(timeoutMs))
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
