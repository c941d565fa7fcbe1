// SPDX-License-Identifier: Apache-2.0
// Owns the serving agent: certificate, extensions, runner, API server, heartbeats, and their end in
// order. Does not find the node (run.ts) and does not run commands.
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { type ApiTls, createApiServer } from '../api/server.ts'
import { createRunner } from '../commands/runner.ts'
import type { Config } from '../config/options.ts'
import { throwIfAborted } from '../core/deadline.ts'
import { AgentError, messageOf } from '../core/errors.ts'
import type { JsonObject } from '../core/json.ts'
import { createDeployService, type DeployService } from '../deploy/deploy-service.ts'
import type { RackName } from '../deploy/rack.ts'
import type { Hardware } from '../hardware/dispatcher.ts'
import { callbackUrl, findAdvertisedAddress } from '../ironic/address.ts'
import type { TokenKeeper } from '../ironic/agent-token.ts'
import { keepCertificate } from '../ironic/certificate.ts'
import { API_MINOR, type IronicClient } from '../ironic/client.ts'
import { createHeartbeater, type Heartbeater } from '../ironic/heartbeat.ts'
import type { LookedUpNode } from '../ironic/lookup.ts'
import type { NodeCache } from '../ironic/node-cache.ts'
import { exec } from '../system/exec.ts'
import type { Root } from '../system/root.ts'
import type { Logger } from '../telemetry/logger.ts'
import { type CommandLine, untilAborted } from './command-line.ts'
import { openConsoles } from './consoles.ts'

export interface ServeOptions {
  readonly line: CommandLine
  /** With what the lookup changed. */
  readonly config: Config
  readonly root: Root
  readonly log: Logger
  readonly client: IronicClient | undefined
  readonly found: LookedUpNode | undefined
  readonly hardware: Hardware
  readonly tokens: TokenKeeper
  readonly nodeCache: NodeCache
  readonly rack: Pick<RackName, 'current' | 'found'>
  readonly refreshNode: (signal: AbortSignal) => Promise<JsonObject | undefined>
  readonly recentLog: () => string
  /** Unix seconds. */
  readonly startedAt: number
}

/** Why the agent serves no more. After a rescue it must leave the machine alone, but not end. */
export interface ServingEnd {
  readonly reason: string
  readonly isRescued: boolean
}

/** What of a last answer has not left by then never will, ms. */
const LAST_ANSWER_MS = 5000

/**
 * Serves until the signal of the command line aborts or the machine would have ended
 * (`machine_control=log`), or the machine was rescued; resolves once everything is closed.
 */
export async function serve(options: ServeOptions): Promise<ServingEnd> {
  const { line, config, log, tokens, startedAt } = options
  const createExtensions = await line.loadExtensions()
  const ending = Promise.withResolvers<ServingEnd>()
  const consoles = openConsoles({
    paths: config.consoles,
    stderr: line.stderr,
    now: () => performance.now(),
    log,
  })
  const { root, hardware, nodeCache, rack, refreshNode, recentLog } = options
  const deploy = createDeployService({
    config,
    exec,
    root,
    log,
    random: line.random,
    hardware,
    rack,
    onProgress: consoles.show,
    onMachineEnd: (reason) => ending.resolve({ reason, isRescued: false }),
  })
  const tls = await chooseTls(options)
  let heartbeater: Heartbeater | undefined
  const runner = createRunner({
    extensions: createExtensions({
      config,
      exec,
      root,
      log,
      now: line.now,
      hardware,
      nodeCache,
      refreshNode,
      deploy,
      afterRescue: () => ending.resolve({ reason: 'rescued', isRescued: true }),
      recentLog,
    }),
    runDir: config.run_dir,
    log,
    onFinished: () => heartbeater?.force(),
  })
  const server = createApiServer({
    runner,
    tokens,
    status: () => statusOf(options, runner, deploy),
    version: line.version,
    startedAt,
    tls: tls?.api,
    log,
  })
  try {
    throwIfAborted(line.signal)
    const { host, port } = await listen(server, config)
    log.info({ host, port, tls: tls !== undefined }, 'api listening')
    heartbeater = await startHeartbeats(options, port, tls)
    return await Promise.race([
      ending.promise.then(async (end) => {
        if (end.isRescued) await server.drained(LAST_ANSWER_MS)
        return end
      }),
      untilAborted(line.signal).then(() => ({
        reason: messageOf(line.signal.reason),
        isRescued: false,
      })),
    ])
  } finally {
    // no heartbeat may promise an agent that is going; a command must leave its disk unbootable first
    await heartbeater?.stop()
    await runner.close()
    await deploy.seeding.release('agent ends')
    await server.close()
    consoles.close()
  }
}

interface ChosenTls {
  readonly api: ApiTls
  /** Sent with heartbeats; absent for the operator's own certificate. */
  readonly verifyCa?: string
}

/** Contract 3.5: the operator's certificate, else one of our own where the API version can carry it. */
async function chooseTls(options: ServeOptions): Promise<ChosenTls | undefined> {
  const { config, client } = options
  const minVersion = config.tls_min_version
  if (config.listen_tls) {
    const { tls_cert_file: certFile, tls_key_file: keyFile } = config
    if (certFile === null || keyFile === null) {
      throw new AgentError(
        'InvalidConfigError',
        'listen_tls needs tls_cert_file and tls_key_file; set both or switch listen_tls off',
      )
    }
    const [cert, key] = await Promise.all([readPem(certFile), readPem(keyFile)])
    return { api: { cert, key, minVersion } }
  }
  if (!config.enable_auto_tls || !client) return undefined
  if ((await client.apiMinor(options.line.signal)) < API_MINOR.agentVerifyCa) return undefined
  const { cert, key } = await keepCertificate({
    address: await advertisedHost(options, client),
    hostname: hostname(),
    runDir: config.run_dir,
    curve: config.tls_certificate_curve,
    clockSkewSeconds: config.auto_tls_allowed_clock_skew,
    now: options.line.now,
  })
  return { api: { cert, key, minVersion }, verifyCa: cert }
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new AgentError('InvalidConfigError', `cannot read ${path}: ${messageOf(cause)}`, {
      cause,
    })
  }
}

function advertisedHost({ config, log, line }: ServeOptions, client: IronicClient) {
  return findAdvertisedAddress({ config, client, exec, log, signal: line.signal })
}

async function listen(server: ReturnType<typeof createApiServer>, config: Config) {
  try {
    return await server.listen({ host: config.listen_host, port: config.listen_port })
  } catch (cause) {
    throw new AgentError(
      'InvalidConfigError',
      `cannot listen on ${config.listen_host ?? 'any address'} port ${config.listen_port} ` +
        `(${messageOf(cause)}); free it or set --listen-host and --listen-port`,
      { cause },
    )
  }
}

async function startHeartbeats(
  options: ServeOptions,
  port: number,
  tls: ChosenTls | undefined,
): Promise<Heartbeater | undefined> {
  const { client, found, config, tokens, log, line } = options
  if (!client || !found) return undefined
  const protocol = tls?.verifyCa === undefined ? config.advertise_protocol : 'https'
  // port 0 is any port, which nobody can configure as the one to advertise
  const advertisedPort = config.listen_port === 0 ? port : config.advertise_port
  const heartbeater = createHeartbeater({
    client,
    nodeUuid: found.nodeUuid,
    callbackUrl: callbackUrl(protocol, await advertisedHost(options, client), advertisedPort),
    tokens,
    agentVersion: line.version,
    verifyCa: tls?.verifyCa,
    heartbeatTimeoutSeconds: found.heartbeatTimeoutSeconds,
    log,
    random: line.random,
  })
  heartbeater.start()
  return heartbeater
}

/** Anyone may read `/v1/status`: no secret, no url (contract 4.5). */
function statusOf(
  { found }: ServeOptions,
  runner: ReturnType<typeof createRunner>,
  { images, seeding }: DeployService,
): JsonObject {
  const running = runner.progress()
  const lastProgress = images.lastProgress()
  const finished = lastProgress?.step === 'done' ? lastProgress : null
  return {
    node_uuid: found?.nodeUuid ?? null,
    command: running?.command_name ?? null,
    progress: running?.progress ?? finished,
    is_seeding: seeding.isSeeding(),
  }
}
