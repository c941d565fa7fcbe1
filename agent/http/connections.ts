// SPDX-License-Identifier: Apache-2.0
// Owns the connections of a client: straight to the server or through a proxy, pooled, with TLS.
// Does not send requests.
import { Agent, buildConnector, type Dispatcher, ProxyAgent } from 'undici'
import { redactUrl } from '../core/redact.ts'
import { type AnswerMender, createAnswerMender } from './answer-mender.ts'
import { HttpFailure } from './failure.ts'
import { isProxyExempt } from './no-proxy.ts'
import { createSocketReads } from './socket-reads.ts'
import { basicAuthorizationOf, withoutCredentials } from './target.ts'
import { createTlsOptions, type TlsOptions, type TlsSettings } from './tls.ts'

export interface ConnectionOptions {
  readonly config: TlsSettings
  /** By scheme of the target: `{http: 'http://proxy:3128', https: …}` (image_info.proxies). */
  readonly proxies?: Readonly<Record<string, string>> | undefined
  /** Hosts that are asked directly (image_info.no_proxy); see isProxyExempt. */
  readonly noProxy?: string | undefined
  /** Many connections, on which little comes: each keeps less memory. */
  readonly readsLittle?: boolean | undefined
}

export interface Connections {
  /** What takes requests for this url. Throws HttpFailure `proxy` for a proxy that cannot be used. */
  to(url: URL): Dispatcher
  /** The same for answers that have to be mended; undefined through a proxy. One request per connection. */
  mendedTo(url: URL): Dispatcher | undefined
  /** Ends what is under way, too. */
  destroy(): Promise<void>
}

/**
 * One pool of direct connections and one per proxy, made when first needed.
 * @param timeoutMs for opening a connection
 * @throws AgentError InvalidConfigError for certificate files that cannot be used
 */
export function createConnections(options: ConnectionOptions, timeoutMs: number): Connections {
  const tls = createTlsOptions(options.config)
  const opened = new Map<string, Dispatcher>()
  const open = (key: string, create: () => Dispatcher) => {
    const dispatcher = opened.get(key) ?? create()
    opened.set(key, dispatcher)
    return dispatcher
  }
  const addresses = addressPatience(timeoutMs)
  const size = options.readsLittle ? 'small' : 'large'
  const common = {
    allowH2: false,
    pipelining: 1,
    keepAliveTimeout: 4000,
    connections: 16,
    maxHeaderSize: 64 * 1024,
  }
  const direct = (mender?: () => AnswerMender) =>
    new Agent({ ...common, connect: connectorOf({ tls, timeoutMs, mender, size }) })
  const proxyOf = (url: URL) =>
    isProxyExempt(url, options.noProxy) ? undefined : proxyFor(url, options.proxies ?? {})
  return {
    mendedTo: (url) =>
      proxyOf(url) === undefined ? open('mended', () => direct(createAnswerMender)) : undefined,
    to: (url) => {
      const proxy = proxyOf(url)
      if (proxy === undefined) return open('', direct)
      return open(proxy, () => {
        const tlsOptions = { ...tls(), allowH2: false }
        return new ProxyAgent({
          ...common,
          ...proxyAddressOf(proxy),
          connectTimeout: timeoutMs,
          requestTls: { ...tlsOptions, ...addresses },
          proxyTls: { ...tlsOptions, ...addresses },
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

/** Its address, and apart from it what it wants to be shown: undici would choke on a `%` that is no escape. */
function proxyAddressOf(proxy: string): { uri: string; token?: string } {
  const url = new URL(proxy)
  const token = basicAuthorizationOf(url)
  const uri = withoutCredentials(url).href
  return token === undefined ? { uri } : { uri, token }
}

/** SYN is sent again after 1 s (RFC 6298): an address has two tries at a round trip of up to 2 s. */
const ADDRESS_TIMEOUT_MS = 3000

/**
 * Of several addresses of a host Node gives each but the last 250 ms and comes back to none: too short for a
 * slow link, on which all of them fail when the last is dead.
 */
function addressPatience(timeoutMs: number): { autoSelectFamilyAttemptTimeout: number } {
  // half of the time is the last one's
  const shareMs = Math.max(250, Math.floor(timeoutMs / 4))
  return { autoSelectFamilyAttemptTimeout: Math.min(ADDRESS_TIMEOUT_MS, shareMs) }
}

/** A connector per connection: each socket has read buffers of its own. */
function connectorOf({
  tls,
  timeoutMs,
  mender,
  size,
}: {
  readonly tls: () => TlsOptions
  readonly timeoutMs: number
  readonly mender: (() => AnswerMender) | undefined
  readonly size: 'small' | 'large'
}): buildConnector.connector {
  return (target, callback) => {
    const reads = createSocketReads(mender?.(), size)
    const connect = buildConnector({
      ...(target.protocol === 'https:' ? tls() : {}),
      allowH2: false,
      timeout: timeoutMs,
      ...addressPatience(timeoutMs),
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
