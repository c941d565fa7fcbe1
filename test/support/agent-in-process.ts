// SPDX-License-Identifier: Apache-2.0
// Owns an agent inside of the test's process: the real client, lookup, heartbeater, runner and API server
// over real sockets, with extensions of the test's choice. Does not touch disks.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createApiServer } from '../../agent/api/server.ts'
import {
  type AnyCommand,
  type CommandResult,
  command,
  type Extension,
} from '../../agent/commands/command.ts'
import { type CommandRunner, createRunner } from '../../agent/commands/runner.ts'
import type { Config } from '../../agent/config/options.ts'
import { sleep } from '../../agent/core/deadline.ts'
import { AgentError } from '../../agent/core/errors.ts'
import type { JsonObject } from '../../agent/core/json.ts'
import { callbackUrl } from '../../agent/ironic/address.ts'
import { createTokenKeeper, type TokenKeeper } from '../../agent/ironic/agent-token.ts'
import { keepCertificate } from '../../agent/ironic/certificate.ts'
import { createIronicClient, type IronicClientConfig } from '../../agent/ironic/client.ts'
import { createHeartbeater } from '../../agent/ironic/heartbeat.ts'
import { type LookedUpNode, lookupNode } from '../../agent/ironic/lookup.ts'
import { createEventStream } from '../../agent/telemetry/event-stream.ts'
import { createLogger, type Logger } from '../../agent/telemetry/logger.ts'

/** Waits of minutes pass in seconds; spacing and order stay as they are. */
const SPEED = 50
export const fastClock = {
  now: () => performance.now() * SPEED,
  wait: (ms: number, signal?: AbortSignal) => sleep(ms / SPEED, signal),
}

/** Client settings that talk to one API without TLS. */
export function clientConfig(
  apiUrls: readonly string[],
  more: Partial<IronicClientConfig> = {},
): IronicClientConfig {
  return {
    api_url: apiUrls,
    ironic_api_version: null,
    global_request_id: null,
    http_request_timeout: 5,
    insecure: false,
    cafile: null,
    certfile: null,
    keyfile: null,
    tls_min_version: '1.2',
    ...more,
  }
}

export const silentLog: Logger = createLogger({ level: 'silent' })

/** A directory for one test, removed at disposal. */
export async function temporaryDirectory(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'ironswarm-'))
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  }
}

/** Stand-ins of the extensions of the deploy sequence that answer as the contract says and touch nothing. */
export function standInExtensions(replacements: Record<string, AnyCommand> = {}): Extension[] {
  const commands: Record<string, Record<string, AnyCommand>> = {
    deploy: {
      get_deploy_steps: sync(() => ({
        deploy_steps: {
          GenericHardwareManager: [{ step: 'write_image', priority: 0, interface: 'deploy' }],
        },
        hardware_manager_version: { generic_hardware_manager: '1.2' },
      })),
      execute_deploy_step: async_((params) => ({
        deploy_result: { result: 'prepare_image: image (img) written to device /dev/x' },
        deploy_step: params['step'],
      })),
    },
    standby: {
      get_partition_uuids: sync(() => ({ 'root uuid': '0x00000000' })),
      power_off: async_(() => null),
      sync: sync(() => null),
      run_image: async_(() => null),
    },
    image: { install_bootloader: async_(() => null) },
    log: {
      collect_system_logs: sync(() => ({ system_logs: Buffer.from('logs').toString('base64') })),
    },
    rescue: { finalize_rescue: sync(() => null) },
  }
  for (const [fullName, replacement] of Object.entries(replacements)) {
    const [extension = '', name = ''] = fullName.split('.')
    commands[extension] = { ...commands[extension], [name]: replacement }
  }
  return Object.entries(commands).map(([name, own]) => ({ name, commands: own }))
}

export function sync(run: (params: JsonObject) => unknown): AnyCommand {
  return command({ kind: 'sync', parse: (params) => params, run: async (params) => run(params) })
}

export function async_(run: (params: JsonObject) => unknown): AnyCommand {
  return command({ kind: 'async', parse: (params) => params, run: async (params) => run(params) })
}

/** The result of a command once it has ended, whatever its kind. */
export async function runToEnd(
  runner: CommandRunner,
  name: string,
  params: JsonObject = {},
): Promise<CommandResult> {
  const { id } = await runner.execute(name, params)
  return await runner.whenDone(id)
}

export interface AgentInProcess extends AsyncDisposable {
  readonly callbackUrl: string
  readonly runner: CommandRunner
  readonly tokens: TokenKeeper
  readonly node: LookedUpNode
  /** The end by kill -9: no command is told, nothing more is recorded. */
  kill(): Promise<void>
}

export interface AgentInProcessOptions {
  readonly apiUrl: string
  readonly mac: string
  readonly runDir: string
  readonly extensions: readonly Extension[]
  readonly tls?: boolean
  readonly host?: string
  readonly port?: number
  readonly config?: Partial<Config>
  readonly log?: Logger
}

/** Lookup, server, first heartbeat, in the order of the daemon (contract 1.5). */
export async function startAgent(options: AgentInProcessOptions): Promise<AgentInProcess> {
  const log = options.log ?? silentLog
  const host = options.host ?? '127.0.0.1'
  const client = createIronicClient({ config: clientConfig([options.apiUrl]), log })
  const tokens = createTokenKeeper({ runDir: options.runDir })
  const node = await lookupNode({
    client,
    tokens,
    config: { lookup_timeout: 600, lookup_interval: 1 },
    log,
    addresses: () => [options.mac],
    random: Math.random,
    ...fastClock,
  })
  if (node.token === 'missing') throw new AgentError('LookupNodeError', 'the token is lost')
  const certificate = options.tls
    ? await keepCertificate({ runDir: options.runDir, address: host, hostname: 'agent' })
    : undefined
  let force: () => void = () => undefined
  const events = createEventStream({ now: () => Date.now() })
  const runner = createRunner({
    extensions: options.extensions,
    runDir: options.runDir,
    log,
    events,
    onFinished: () => force(),
  })
  const server = createApiServer({
    runner,
    tokens,
    status: () => ({ command: events.snapshot().command }),
    version: '0.0.0',
    startedAt: Date.now() / 1000,
    tls: certificate,
    log,
  })
  const { port } = await server.listen({ host, port: options.port ?? 0 })
  const url = callbackUrl(certificate ? 'https' : 'http', host, port)
  const heartbeater = createHeartbeater({
    client,
    nodeUuid: node.nodeUuid,
    callbackUrl: url,
    tokens,
    agentVersion: '11.0.0',
    verifyCa: certificate?.cert,
    heartbeatTimeoutSeconds: node.heartbeatTimeoutSeconds,
    log,
    random: Math.random,
    ...fastClock,
  })
  force = heartbeater.force
  heartbeater.start()
  const leave = async () => {
    await heartbeater.stop()
    await server.close()
    await client[Symbol.asyncDispose]()
  }
  return {
    callbackUrl: url,
    runner,
    tokens,
    node,
    kill: leave,
    [Symbol.asyncDispose]: async () => {
      await runner.close()
      await leave()
    },
  }
}
