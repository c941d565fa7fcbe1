// SPDX-License-Identifier: Apache-2.0
// Owns the stand-in of Ironic 21.4: API (version, lookup, heartbeat) and conductor in one process,
// as strict as the real one. For tests and for the demo; nothing is kept when it is closed.
import { EventEmitter } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type AgentCall, createAgentClient } from './fake-ironic/agent-client.ts'
import {
  ApiError,
  checkCallback,
  checkHeartbeat,
  faultBody,
  minorOf,
  readBody,
} from './fake-ironic/api-rules.ts'
import {
  type BootMode,
  type ConductorOptions,
  type Deployment,
  type DeployOutcome,
  type PowerSwitch,
  startDeployment,
} from './fake-ironic/conductor.ts'
import { continueInspection, INSPECTION_PATHS } from './fake-ironic/inspection.ts'
import {
  type EnrolledNode,
  enrol,
  lookupView,
  type NodeRecord,
  newToken,
} from './fake-ironic/node.ts'

export interface FakeIronicOptions {
  readonly nodes: readonly EnrolledNode[]
  readonly host?: string
  /** 0 = any. */
  readonly port?: number
  /** What `GET /` says; `1.82` is 21.4. */
  readonly apiVersion?: string
  /** Told to agents at lookup, seconds. */
  readonly heartbeatTimeout?: number
  /** More keys for the lookup's `config`, e.g. tls_min_version. */
  readonly lookupConfig?: Readonly<Record<string, unknown>>
  readonly callbackTimeoutMs?: number
  readonly commandTimeoutMs?: number
  readonly pollIntervalMs?: number
  readonly powerOffWaitMs?: number
  readonly power?: PowerSwitch
  readonly requireTls?: boolean
  readonly sendTokenOnGet?: boolean
  readonly minTlsVersion?: 'TLSv1.2' | 'TLSv1.3'
  /** Lets agents look nodes up in any state (fast track). */
  readonly fastTrack?: boolean
}

export interface DeployRequest {
  /** Fields of image_info; id, urls, disk_format and the hash are the caller's. */
  readonly imageInfo: { readonly urls: readonly string[] } & Readonly<Record<string, unknown>>
  /** Base64 of a gzipped image, or a URL. */
  readonly configdrive?: string | null
  readonly bootMode?: BootMode
  /** More fields for instance_info, e.g. image_torrent_file. */
  readonly instanceInfo?: Readonly<Record<string, unknown>>
}

/** A request of an agent, as the API saw it. */
export interface ApiCall {
  readonly at: number
  readonly method: string
  readonly path: string
  readonly apiVersion: string | null
  readonly requestId: string | null
  readonly body: unknown
  readonly status: number
  readonly answer: unknown
}

export interface FakeIronicEvents {
  state: [NodeRecord]
  api: [ApiCall]
  agent: [NodeRecord, AgentCall]
}

export interface FakeIronic extends AsyncDisposable {
  readonly url: string
  readonly nodes: ReadonlyMap<string, NodeRecord>
  readonly events: EventEmitter<FakeIronicEvents>
  /** Every call so far, in order. */
  readonly apiCalls: readonly ApiCall[]
  readonly agentCalls: readonly { node: string; call: AgentCall }[]
  /** Deploys as the conductor does; never rejects for what the agent does wrong. */
  deploy(nodeUuid: string, request: DeployRequest): Promise<DeployOutcome>
  /** `/v1/status` of the node's agent, for progress; undefined while it is not known or silent. */
  agentStatus(nodeUuid: string): Promise<Record<string, unknown> | undefined>
  /** From now on the node waits for inspection data, as after `provision state inspect`. */
  inspect(nodeUuid: string): void
  /** The next `count` requests whose path begins with `prefix` get this status, until it is disposed of. */
  failNext(
    prefix: '/' | '/v1/lookup' | '/v1/heartbeat' | '/v1/continue',
    status: number,
    count?: number,
  ): Disposable
}

const LOOKUP_STATES: readonly string[] = ['deploying', 'wait call-back', 'inspect wait']
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i

export async function createFakeIronic(options: FakeIronicOptions): Promise<FakeIronic> {
  const apiVersion = options.apiVersion ?? '1.82'
  const nodes = new Map(options.nodes.map((node) => [node.uuid, enrol(node)]))
  const deployments = new Map<string, Deployment>()
  const events = new EventEmitter<FakeIronicEvents>()
  const apiCalls: ApiCall[] = []
  const agentCalls: { node: string; call: AgentCall }[] = []
  const failures: { prefix: string; status: number; left: number }[] = []
  let url = ''

  const conductorOptions: ConductorOptions = {
    callbackTimeoutMs: options.callbackTimeoutMs ?? 1_800_000,
    commandTimeoutMs: options.commandTimeoutMs ?? 60_000,
    commandAttempts: 3,
    commandRetryDelayMs: 200,
    pollIntervalMs: options.pollIntervalMs ?? 500,
    powerOffWaitMs: options.powerOffWaitMs ?? 35_000,
    sendTokenOnGet: options.sendTokenOnGet ?? false,
    minTlsVersion: options.minTlsVersion ?? 'TLSv1.2',
    power: options.power ?? {},
    onCall: (node, call) => {
      agentCalls.push({ node: node.uuid, call })
      events.emit('agent', node, call)
    },
    onState: (node) => events.emit('state', node),
  }

  const root = () => ({
    name: 'OpenStack Ironic API',
    description: 'Stand-in',
    default_version: {
      id: 'v1',
      links: [{ href: `${url}/v1/`, rel: 'self' }],
      status: 'CURRENT',
      min_version: '1.1',
      version: apiVersion,
    },
  })

  const lookup = (query: URLSearchParams, version: number) => {
    if (version < 22) throw new ApiError(404, 'Not Found')
    const addresses = (query.get('addresses') ?? '').split(',').filter((text) => MAC.test(text))
    const wantedUuid = query.get('node_uuid')
    if (addresses.length === 0 && wantedUuid === null) {
      throw new ApiError(400, 'Either node_uuid or valid addresses must be provided')
    }
    const macs = new Set(addresses.map((text) => text.toLowerCase()))
    const node = [...nodes.values()].find((candidate) =>
      wantedUuid === null
        ? candidate.macs.some((mac) => macs.has(mac))
        : candidate.uuid === wantedUuid,
    )
    if (node === undefined || !(options.fastTrack || LOOKUP_STATES.includes(node.state))) {
      throw new ApiError(404, 'Node could not be found')
    }
    return { node: lookupView(node, url), config: lookupConfig(node, version) }
  }

  /** The token goes out once; at 1.62 and later every further lookup sees it masked (contract 2.6). */
  const lookupConfig = (node: NodeRecord, version: number) => {
    const isFirst = node.token === null
    if (isFirst && version >= 62) node.token = newToken()
    return {
      metrics: {
        backend: 'noop',
        prepend_host: false,
        prepend_uuid: false,
        prepend_host_reverse: true,
        global_prefix: null,
      },
      metrics_statsd: { statsd_host: 'localhost', statsd_port: 8125 },
      heartbeat_timeout: options.heartbeatTimeout ?? 300,
      agent_token: version < 62 ? null : isFirst ? node.token : '******',
      agent_token_required: true,
      disable_deep_image_inspection: false,
      permitted_image_formats: ['raw', 'qcow2', 'iso'],
      enable_bios_bootloader_install: true,
      ...options.lookupConfig,
    }
  }

  const heartbeat = (nodeUuid: string, body: unknown, version: number): void => {
    const node = nodes.get(nodeUuid)
    if (version < 22) throw new ApiError(404, 'Not Found')
    const fields = checkHeartbeat(body, version)
    if (node === undefined) throw new ApiError(404, `Node ${nodeUuid} could not be found.`)
    if (fields.agent_token === undefined) {
      throw new ApiError(400, 'Agent token is required for heartbeat processing.')
    }
    if (fields.agent_token !== node.token) {
      throw new ApiError(400, 'Invalid or missing agent token received.')
    }
    checkCallback(node, fields, options.requireTls ?? false)
    node.agentUrl = fields.callback_url
    node.agentVerifyCa = fields.agent_verify_ca ?? null
    node.agentVersion = fields.agent_version
    node.lastHeartbeatAt = Date.now()
    node.heartbeats++
    deployments.get(nodeUuid)?.heartbeat()
  }

  const answer = (method: string, target: URL, version: number, body: unknown) => {
    const failure = failures.find(
      ({ prefix, left }) =>
        left > 0 && (prefix === '/' ? target.pathname === '/' : target.pathname.startsWith(prefix)),
    )
    if (failure !== undefined) {
      failure.left--
      throw new ApiError(failure.status, 'Injected by the test')
    }
    if (method === 'GET' && target.pathname === '/') return { status: 200, json: root() }
    if (method === 'GET' && target.pathname === '/v1/lookup') {
      return { status: 200, json: lookup(target.searchParams, version) }
    }
    const heartbeatOf = /^\/v1\/heartbeat\/([^/]+)$/.exec(target.pathname)?.[1]
    if (method === 'POST' && heartbeatOf !== undefined) {
      heartbeat(heartbeatOf, body, version)
      return { status: 202 }
    }
    if (method === 'POST' && INSPECTION_PATHS.includes(target.pathname)) {
      return { status: 202, json: continueInspection(nodes.values(), body, version, url) }
    }
    throw new ApiError(404, 'Not Found')
  }

  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const target = new URL(request.url ?? '/', url)
    const asked = headerOf(request, 'x-openstack-ironic-api-version')
    let body: unknown
    let reply: { status: number; json?: unknown }
    try {
      body = await readBody(
        request,
        INSPECTION_PATHS.includes(target.pathname) ? 'inspection' : 'other',
      )
      reply = answer(request.method ?? '', target, minorOf(asked, apiVersion), body)
    } catch (error) {
      reply = faultBody(error)
    }
    const call: ApiCall = {
      at: performance.now(),
      method: request.method ?? '',
      path: `${target.pathname}${target.search}`,
      apiVersion: asked,
      requestId: headerOf(request, 'x-openstack-request-id'),
      body,
      status: reply.status,
      answer: reply.json,
    }
    apiCalls.push(call)
    events.emit('api', call)
    const text = reply.json === undefined ? '' : JSON.stringify(reply.json)
    response.writeHead(reply.status, {
      'content-length': Buffer.byteLength(text),
      ...(text === '' ? {} : { 'content-type': 'application/json' }),
      'x-openstack-ironic-api-maximum-version': apiVersion,
    })
    response.end(text)
  }

  const server = createServer((request, response) => void serve(request, response))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, options.host ?? '127.0.0.1', resolve)
  })
  const address = server.address() as AddressInfo
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address
  url = `http://${host}:${address.port}`

  return {
    url,
    nodes,
    events,
    apiCalls,
    agentCalls,
    inspect: (nodeUuid) => {
      const node = nodes.get(nodeUuid)
      if (node === undefined) throw new Error(`no node ${nodeUuid} is enrolled`)
      node.state = 'inspect wait'
      events.emit('state', node)
    },
    failNext: (prefix, status, count = 1) => {
      const failure = { prefix, status, left: count }
      failures.push(failure)
      return {
        [Symbol.dispose]: () => {
          failure.left = 0
        },
      }
    },
    agentStatus: async (nodeUuid) => {
      const node = nodes.get(nodeUuid)
      if (node?.agentUrl == null) return undefined
      const target = { url: node.agentUrl, token: '', verifyCa: node.agentVerifyCa }
      const impatient = { ...conductorOptions, timeoutMs: 2000, attempts: 1, retryDelayMs: 0 }
      const client = createAgentClient(target, { ...impatient, onCall: () => {} })
      return client.status().catch(() => undefined)
    },
    deploy: async (nodeUuid, request) => {
      const node = nodes.get(nodeUuid)
      if (node === undefined) throw new Error(`no node ${nodeUuid} is enrolled`)
      const deployment = startDeployment(node, prepare(node, request), conductorOptions)
      deployments.set(nodeUuid, deployment)
      const outcome = await deployment.outcome
      if (deployments.get(nodeUuid) === deployment) deployments.delete(nodeUuid)
      return outcome
    },
    [Symbol.asyncDispose]: async () => {
      for (const deployment of deployments.values()) deployment.abort('the stand-in was closed')
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function headerOf(request: IncomingMessage, name: string): string | null {
  const value = request.headers[name]
  return typeof value === 'string' ? value : null
}

/** image_info as 21.4 builds it, and instance_info beside it (contract 5.2). */
function prepare(node: NodeRecord, request: DeployRequest) {
  const configdrive = request.configdrive ?? null
  const [imageUrl] = request.imageInfo.urls
  const imageInfo: Record<string, unknown> = {
    id: imageUrl?.split('/').at(-1) ?? 'image',
    disk_format: null,
    container_format: null,
    stream_raw_images: true,
    ...request.imageInfo,
    node_uuid: node.uuid,
    ...(configdrive === null ? {} : { configdrive }),
  }
  node.instanceInfo = {
    ...node.instanceInfo,
    image_source: imageUrl,
    image_url: imageUrl,
    image_type: 'whole-disk',
    ...(configdrive === null ? {} : { configdrive }),
    ...request.instanceInfo,
  }
  return { imageInfo, configdrive, bootMode: request.bootMode ?? 'uefi' }
}
