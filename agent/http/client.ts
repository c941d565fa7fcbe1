// SPDX-License-Identifier: Apache-2.0
// Owns the way HTTP requests leave this machine: connections, proxies, redirects, credentials, deadlines.
// Does not retry and does not judge statuses: the rooms above do.
import { Agent, buildConnector, type Dispatcher, ProxyAgent } from 'undici'
import type { Config } from '../config/options.ts'
import { redactUrl } from '../core/redact.ts'
import { MiB } from '../core/units.ts'
import { HttpFailure, httpFailureOf } from './failure.ts'
import { isProxyExempt } from './no-proxy.ts'
import { createSocketReads } from './socket-reads.ts'
import { createTlsOptions, type TlsOptions, type TlsSettings } from './tls.ts'

/** The part of Config a client needs; plain data, so that a worker thread can be given it. */
export type HttpClientSettings = TlsSettings &
  Partial<Pick<Config, 'image_download_connection_timeout'>>

export interface HttpClientOptions {
  readonly config: HttpClientSettings
  /** By scheme of the target: `{http: 'http://proxy:3128', https: …}` (image_info.proxies). */
  readonly proxies?: Readonly<Record<string, string>> | undefined
  /** Hosts that are asked directly (image_info.no_proxy); see isProxyExempt. */
  readonly noProxy?: string | undefined
}

export type HttpHeaders = Readonly<Record<string, string | string[] | undefined>>

export interface HttpHead {
  readonly status: number
  readonly headers: HttpHeaders
  /** After redirects; may hold secrets: pass it through redactUrl before showing it. */
  readonly url: string
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
  const dispatchers = createDispatchers(options, defaultTimeoutMs)

  const stream: HttpClient['stream'] = async (url, request, receiver) => {
    const readTimeoutMs = request.readTimeoutMs ?? defaultTimeoutMs
    const method = request.method ?? 'GET'
    let target = targetOf(url)
    let headers = withCredentials(request.headers ?? {}, target)
    for (let hop = 0; ; hop++) {
      request.signal?.throwIfAborted()
      const bare = withoutCredentials(target)
      const location = await exchange(dispatchers.for(target), {
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
    [Symbol.asyncDispose]: () => dispatchers.destroy(),
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

function targetOf(url: string, base?: URL): URL {
  const target = URL.parse(url, base?.href)
  if (!target) throw new HttpFailure('bad-url', `${redactUrl(url)}: not a url`)
  if (target.protocol !== 'http:' && target.protocol !== 'https:') {
    const what = base ? `redirect to ${target.protocol}` : `scheme ${target.protocol}`
    throw new HttpFailure(
      'bad-url',
      `${redactUrl(url)}: ${what} is not supported; use http or https`,
    )
  }
  return target
}

function withoutCredentials(url: URL): URL {
  const bare = new URL(url)
  bare.username = ''
  bare.password = ''
  return bare
}

/** `http://user:password@host/` means basic auth, unless the caller says otherwise. */
function withCredentials(
  headers: Readonly<Record<string, string>>,
  url: URL,
): Record<string, string> {
  const isGiven = Object.keys(headers).some((name) => name.toLowerCase() === 'authorization')
  if (isGiven || (url.username === '' && url.password === '')) return { ...headers }
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
  return { ...headers, authorization: `Basic ${Buffer.from(pair).toString('base64')}` }
}

/** Credentials are for the server they were given for: another origin must not see them. */
function withoutAuthorization(headers: Record<string, string>): Record<string, string> {
  const secret = new Set(['authorization', 'cookie', 'x-auth-token'])
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !secret.has(name.toLowerCase())),
  )
}

interface Dispatchers {
  for(url: URL): Dispatcher
  destroy(): Promise<void>
}

/** One pool of direct connections and one per proxy, made when first needed. */
function createDispatchers(options: HttpClientOptions, timeoutMs: number): Dispatchers {
  const tls = createTlsOptions(options.config)
  const opened = new Map<string, Dispatcher>()
  const open = (key: string, create: () => Dispatcher) => {
    const dispatcher = opened.get(key) ?? create()
    opened.set(key, dispatcher)
    return dispatcher
  }
  const common = {
    allowH2: false,
    pipelining: 1,
    keepAliveTimeout: 4000,
    connections: 16,
    maxHeaderSize: 64 * 1024,
  }
  return {
    for: (url) => {
      const proxy = isProxyExempt(url, options.noProxy)
        ? undefined
        : proxyFor(url, options.proxies ?? {})
      if (proxy === undefined) {
        return open('', () => new Agent({ ...common, connect: connectorOf(tls, timeoutMs) }))
      }
      return open(proxy, () => {
        const tlsOptions = { ...tls(), allowH2: false }
        return new ProxyAgent({
          ...common,
          uri: proxy,
          connectTimeout: timeoutMs,
          requestTls: tlsOptions,
          proxyTls: tlsOptions,
        })
      })
    },
    destroy: async () => {
      await Promise.all([...opened.values()].map((dispatcher) => dispatcher.destroy()))
      opened.clear()
    },
  }
}

function proxyFor(url: URL, proxies: Readonly<Record<string, string>>): string | undefined {
  const text = proxies[url.protocol.slice(0, -1)] || proxies['all']
  if (!text) return undefined
  const proxy = URL.parse(text.includes('://') ? text : `http://${text}`)
  if (proxy && ['http:', 'https:'].includes(proxy.protocol)) return proxy.href
  throw new HttpFailure('proxy', `proxy ${redactUrl(text)} is not an http or https url`)
}

/** A connector per connection: each socket has read buffers of its own. */
function connectorOf(tls: () => TlsOptions, timeoutMs: number): buildConnector.connector {
  return (target, callback) => {
    const reads = createSocketReads()
    const connect = buildConnector({
      ...(target.protocol === 'https:' ? tls() : {}),
      allowH2: false,
      timeout: timeoutMs,
      onread: reads.onread,
      // demanded by the type; the connector puts the target's port in its place
      port: 0,
    })
    return connect(target, (...outcome) => {
      if (outcome[1]) reads.attach(outcome[1])
      callback(...outcome)
    })
  }
}

interface Exchange {
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
function exchange(dispatcher: Dispatcher, request: Exchange): Promise<string | undefined> {
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
