// SPDX-License-Identifier: Apache-2.0
// Owns putting the serving agent together, lowest layer first: each part is made of those above it in this
// file. Does not start anything; serve.ts does.
import { hostname } from 'node:os'
import { type ApiServerOptions, createApiServer } from '../api/server.ts'
import { statusFields } from '../api/status.ts'
import { type CommandRunner, createRunner } from '../commands/runner.ts'
import type { Config } from '../config/options.ts'
import { createDeployService, type DeployService } from '../deploy/deploy-service.ts'
import type { CreateExtensions } from '../deploy/extension-deps.ts'
import type { RackName } from '../deploy/rack.ts'
import type { Hardware } from '../hardware/dispatcher.ts'
import { findAdvertisedAddress } from '../ironic/address.ts'
import type { TokenKeeper } from '../ironic/agent-token.ts'
import type { IronicClient } from '../ironic/client.ts'
import type { LookedUpNode } from '../ironic/lookup.ts'
import type { NodeCache } from '../ironic/node-cache.ts'
import { exec } from '../system/exec.ts'
import type { Process } from '../system/process.ts'
import type { Root } from '../system/root.ts'
import { readDiskWrites } from '../system/sysfs.ts'
import type { Logger } from '../telemetry/logger.ts'
import { chooseTls } from './api-tls.ts'
import { createHeartbeats, type Heartbeats } from './heartbeats.ts'
import { openMetrics } from './metrics.ts'
import type { NodeFinder } from './node-finder.ts'
import type { ServingAgent, ServingEnd } from './serve.ts'

/** What is known by the time the agent can serve. */
export interface AgentParts {
  readonly process: Process
  /** With what the lookup changed. */
  readonly config: Config
  readonly root: Root
  readonly log: Logger
  readonly recentLog: () => string
  /** Unix seconds. */
  readonly startedAt: number
  readonly hardware: Hardware
  readonly tokens: TokenKeeper
  readonly nodeCache: NodeCache
  readonly rack: Pick<RackName, 'current' | 'found'>
  /** Undefined where no Ironic is known. */
  readonly ironic:
    | { readonly client: IronicClient; readonly finder: NodeFinder; readonly found: LookedUpNode }
    | undefined
  readonly createExtensions: CreateExtensions
}

/** Throws LookupAgentIPError, InvalidConfigError. */
export async function composeAgent(parts: AgentParts): Promise<ServingAgent> {
  const { process, config, log, hardware, tokens, ironic } = parts
  const { signal, now } = process
  const ending = Promise.withResolvers<ServingEnd>()
  const caller = ironic && {
    ...ironic,
    address: await findAdvertisedAddress({ config, client: ironic.client, exec, log, signal }),
  }
  const tls = await chooseTls({ config, reader: caller, hardware, log, signal, now })
  const heartbeats =
    caller &&
    createHeartbeats({
      ...caller,
      tokens,
      config,
      verifyCa: tls?.verifyCa,
      log,
      process,
      hardware,
    })
  const commands = composeCommands(parts, { heartbeats, end: ending.resolve })
  return {
    config,
    log,
    heartbeats,
    seeding: commands.deploy.seeding,
    runner: commands.runner,
    ...composeServer(parts, { ...commands, tls: tls?.api }),
    isTls: tls !== undefined,
    ended: ending.promise,
  }
}

interface Commands {
  readonly deploy: DeployService
  readonly runner: CommandRunner
}

interface CommandsNews {
  /** Told at once of a command that has ended. */
  readonly heartbeats: Heartbeats | undefined
  /** A command ends the serving. */
  readonly end: (end: ServingEnd) => void
}

/** What Ironic can have done, and who does it. */
function composeCommands(parts: AgentParts, { heartbeats, end }: CommandsNews): Commands {
  const { process, config, root, log, hardware } = parts
  const { random, now, events } = process
  const deploy = createDeployService({
    config,
    exec,
    root,
    log,
    random,
    hardware,
    rack: parts.rack,
    onMachineEnd: (reason) => end({ reason, afterwards: 'end' }),
  })
  const extensions = parts.createExtensions({
    config,
    exec,
    root,
    log,
    events,
    now,
    hardware,
    nodeCache: parts.nodeCache,
    refreshNode: async (during) => await parts.ironic?.finder.refresh(during),
    deploy,
    afterRescue: () => end({ reason: 'rescued', afterwards: 'leave the machine' }),
    lockDown: () => end({ reason: 'locked down', afterwards: 'lock down' }),
    recentLog: parts.recentLog,
  })
  const onFinished = () => heartbeats?.force()
  const runner = createRunner({ extensions, runDir: config.run_dir, log, events, onFinished })
  return { deploy, runner }
}

interface ServerParts extends Commands {
  readonly tls: ApiServerOptions['tls']
}

/** The API, and the metrics that it shows. */
function composeServer(
  { process, config, root, log, hardware, tokens, startedAt, ironic }: AgentParts,
  { deploy, runner, tls }: ServerParts,
): Pick<ServingAgent, 'metrics' | 'server'> {
  const { events, version, now } = process
  const nodeUuid = ironic?.found.nodeUuid ?? null
  using opened = new DisposableStack()
  const metrics = opened.use(openMetrics(config, { log, nodeUuid, hostname: hostname() }))
  const server = createApiServer({
    runner,
    tokens,
    status: () =>
      statusFields(events.snapshot(), {
        nodeUuid,
        isSeeding: deploy.seeding.isSeeding(),
        isImageOnDisk: deploy.images.lastWritten() !== undefined,
        leftOutManagers: hardware.leftOut,
      }),
    version,
    startedAt,
    tls,
    metrics,
    watching: {
      events,
      version,
      startedAt,
      now,
      hasMetrics: config.metrics,
      hasPage: config.status_page,
      diskWrites: (paths) => readDiskWrites(root, paths),
    },
    log,
  })
  // from here on whoever serves closes them
  opened.move()
  return { metrics, server }
}
