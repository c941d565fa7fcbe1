// SPDX-License-Identifier: Apache-2.0
// Owns calls to the Ironic API: versions, headers, several URLs, deadlines, TLS (contract 2.1 to 2.4, 3.1,
// 3.6). Does not retry over time and does not interpret bodies; lookup.ts and heartbeat.ts do.
import type { Config } from '../config/options.ts'
import { AgentError, messageOf } from '../core/errors.ts'
import { objectAt, stringAt } from '../core/json.ts'
import { redactUrl } from '../core/redact.ts'
import { MiB } from '../core/units.ts'
import { createHttpClient, type HttpClient } from '../http/client.ts'
import type { Logger } from '../telemetry/logger.ts'
import { headersOf, type IronicReply, readReply } from './reply.ts'

/** Minor of API version 1.x at which something appeared (contract 2.1). */
export const API_MINOR = {
  assumed: 31,
  agentVersion: 36,
  agentToken: 62,
  agentVerifyCa: 68,
  agentStatus: 72,
  /** The highest that is ever sent. */
  highest: 72,
} as const

/** Largest answer that is read: a lookup is some KiB. */
const MAX_ANSWER_BYTES = 8 * MiB

export interface LookupQuery {
  readonly addresses: readonly string[]
  readonly nodeUuid?: string | undefined
}

export interface IronicClient extends AsyncDisposable {
  /**
   * Minor of the server's API version 1.x, the highest that is sent for a later major one; 31 where its
   * answer names none. Kept after the first success.
   * Throws IronicAPIError when nothing answers.
   */
  apiMinor(signal?: AbortSignal): Promise<number>
  /** Throws IronicAPIError only when no URL answers. */
  lookup(query: LookupQuery, signal?: AbortSignal): Promise<IronicReply>
  heartbeat(nodeUuid: string, body: object, signal?: AbortSignal): Promise<IronicReply>
  /** True if that URL answers at all, whatever its status and certificate (contract 3.4). */
  answers(apiUrl: string, signal?: AbortSignal): Promise<boolean>
  /** From now on connections are made by these settings: the answer to the lookup may be stricter (contract 2.5). */
  useTls(settings: TlsBounds): Promise<void>
  /** The URLs, the one that worked last first. */
  urls(): readonly string[]
}

export type IronicClientConfig = Pick<
  Config,
  | 'api_url'
  | 'ironic_api_version'
  | 'global_request_id'
  | 'http_request_timeout'
  | 'insecure'
  | 'cafile'
  | 'certfile'
  | 'keyfile'
  | 'tls_min_version'
> &
  Partial<Pick<Config, 'tls_cipher_suites'>>

/** What the lookup may change of TLS. */
export type TlsBounds = Pick<Config, 'tls_min_version' | 'tls_cipher_suites'>

export interface IronicClientOptions {
  readonly config: IronicClientConfig
  readonly log: Logger
}

interface Call {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly minor?: number
  readonly body?: object
  readonly signal?: AbortSignal | undefined
}

/** Throws InvalidConfigError for URLs, versions or certificate files that cannot be used. */
export function createIronicClient(options: IronicClientOptions): IronicClient {
  return new Client(options)
}

class Client implements IronicClient {
  readonly #config: IronicClientConfig
  readonly #log: Logger
  #urls: readonly string[]
  #minor: number | undefined
  #clients: Clients

  constructor({ config, log }: IronicClientOptions) {
    this.#config = config
    this.#log = log
    this.#urls = config.api_url.map(checkUrl)
    this.#minor = configuredMinor(config.ironic_api_version)
    this.#clients = openClients(config)
  }

  async apiMinor(signal?: AbortSignal): Promise<number> {
    if (this.#minor !== undefined) return this.#minor
    const { status, errorText, json } = await this.#ask({ method: 'GET', path: '/', signal })
    // A gateway without its server says nothing of versions; below 1.62 no token would be handed out.
    if (status >= 500) {
      throw new AgentError('IronicAPIError', `GET / got status ${status}: ${errorText}`)
    }
    this.#minor = parseMinor(stringAt(objectAt(json, 'default_version'), 'version'))
    if (this.#minor !== undefined) return this.#minor
    this.#log.warn({ status, assumed: API_MINOR.assumed }, 'api version not known')
    return API_MINOR.assumed
  }

  async lookup(query: LookupQuery, signal?: AbortSignal): Promise<IronicReply> {
    const minor = Math.min(await this.apiMinor(signal), API_MINOR.agentToken)
    return await this.#ask({ method: 'GET', path: lookupPath(query), minor, signal })
  }

  async heartbeat(nodeUuid: string, body: object, signal?: AbortSignal): Promise<IronicReply> {
    const minor = Math.min(await this.apiMinor(signal), API_MINOR.highest)
    const path = `/v1/heartbeat/${encodeURIComponent(nodeUuid)}`
    return await this.#ask({ method: 'POST', path, minor, body, signal })
  }

  async answers(apiUrl: string, signal?: AbortSignal): Promise<boolean> {
    try {
      await this.#send(apiUrl, { method: 'GET', path: '/', signal }, this.#clients.careless)
      return true
    } catch {
      return false
    }
  }

  async useTls(settings: TlsBounds): Promise<void> {
    const before = this.#clients
    this.#clients = openClients({ ...this.#config, ...settings })
    await closeClients(before)
  }

  urls(): readonly string[] {
    return this.#urls
  }

  [Symbol.asyncDispose](): Promise<void> {
    return closeClients(this.#clients)
  }

  /** The first URL that answers; it becomes the first to be asked next time (contract 2.3). */
  async #ask(call: Call): Promise<IronicReply> {
    const reasons: string[] = []
    for (const base of this.#urls) {
      call.signal?.throwIfAborted()
      try {
        const reply = await this.#send(base, call, this.#clients.http)
        this.#urls = [base, ...this.#urls.filter((url) => url !== base)]
        return reply
      } catch (error) {
        call.signal?.throwIfAborted()
        reasons.push(messageOf(error))
      }
    }
    const what = `${call.method} ${call.path.split('?')[0]}`
    throw new AgentError('IronicAPIError', `${what} got no answer: ${reasons.join('; ')}`)
  }

  async #send(base: string, call: Call, through: HttpClient): Promise<IronicReply> {
    const response = await through.request(`${base}${call.path}`, {
      method: call.method,
      headers: headersOf(this.#config, call.minor),
      body: call.body === undefined ? undefined : JSON.stringify(call.body),
      signal: call.signal,
      timeoutMs: this.#config.http_request_timeout * 1000,
      // minutes lie between heartbeats; a server closes an idle connection after seconds
      isLast: true,
      maxBytes: MAX_ANSWER_BYTES,
    })
    return readReply(response.status, response.text())
  }
}

interface Clients {
  readonly http: HttpClient
  /** Trusts everybody: asked only whether it answers. */
  readonly careless: HttpClient
}

function openClients(config: IronicClientConfig): Clients {
  return {
    http: createHttpClient({ config }),
    careless: createHttpClient({ config: { ...config, insecure: true } }),
  }
}

async function closeClients(clients: Clients): Promise<void> {
  await Promise.all(Object.values(clients).map((client) => client[Symbol.asyncDispose]()))
}

function lookupPath({ addresses, nodeUuid }: LookupQuery): string {
  const query = new URLSearchParams({ addresses: addresses.join(',') })
  if (nodeUuid !== undefined) query.set('node_uuid', nodeUuid)
  return `/v1/lookup?${query}`
}

/** No trailing slash, no `/v1`: the conductor sends it so, operators may not (contract 1.2). */
function checkUrl(text: string): string {
  if (!/^https?:\/\/[^/]/.test(text) || !URL.canParse(text)) {
    throw new AgentError(
      'InvalidConfigError',
      `api_url ${redactUrl(text)} is not http(s)://host[:port]`,
    )
  }
  return withoutVersion(text)
}

/** Without `/v1` and slashes at its end: what paths of the API are put behind. */
export function withoutVersion(url: string): string {
  return url.replace(/\/+$/, '').replace(/\/v1$/, '')
}

/** Of `1.82`; a later major version is newer than anything that is sent: 2.0 is asked as the highest 1.x. */
function parseMinor(version: string | undefined): number | undefined {
  const match = /^(\d{1,4})\.(\d{1,4})(?:\.|$)/.exec(version ?? '')
  const [major, minor] = [Number(match?.[1]), Number(match?.[2])]
  if (major > 1) return API_MINOR.highest
  return major === 1 ? minor : undefined
}

function configuredMinor(version: string | null): number | undefined {
  if (version === null) return undefined
  const minor = parseMinor(version)
  if (minor !== undefined) return minor
  throw new AgentError(
    'InvalidConfigError',
    `ironic_api_version ${version} is not 1.x or later; leave it out to have it detected`,
  )
}
