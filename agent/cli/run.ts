// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm run`: the order in which the agent comes up (contract 1.5), from configuration to the
// point where it serves. serve.ts owns what comes after.
import { existsSync } from 'node:fs'
import { hostname, uptime } from 'node:os'
import type { Command } from 'commander'
import { applyLookupOverrides } from '../config/lookup-overrides.ts'
import type { Config } from '../config/options.ts'
import { anySignal, sleep, throwIfAborted } from '../core/deadline.ts'
import { AgentError } from '../core/errors.ts'
import { MiB } from '../core/units.ts'
import { loadMachine } from '../deploy/machine.ts'
import { watchRack } from '../deploy/rack.ts'
import { isRescued, RESCUED_FILE } from '../deploy/rescue-mark.ts'
import type { Hardware } from '../hardware/dispatcher.ts'
import { createTokenKeeper, type TokenKeeper } from '../ironic/agent-token.ts'
import { createIronicClient, type IronicClient } from '../ironic/client.ts'
import { type LookedUpNode, lookupNode } from '../ironic/lookup.ts'
import { createNodeCache } from '../ironic/node-cache.ts'
import { exec } from '../system/exec.ts'
import type { Logger } from '../telemetry/logger.ts'
import { operation } from '../telemetry/operation.ts'
import { createRecentLines } from '../telemetry/recent-lines.ts'
import { type CommandLine, type Context, openContext, untilAborted } from './command-line.ts'
import { serve } from './serve.ts'

/** Contract 1.5 step 6: how long to wait for a network interface, and how often to look. */
const INTERFACE_WAIT_MS = 60_000
const INTERFACE_POLL_MS = 5000
/** Longer than the ramdisk itself waits for devices and network together. */
const START_AFTER_WAIT_MS = 180_000
const START_AFTER_POLL_MS = 25
const REFRESH_SECONDS = 10

/**
 * Runs the agent until its signal aborts or the machine would power off.
 * @throws InvalidConfigError, LookupNodeError (the supervisor starts the process again), LookupAgentIPError
 */
export async function runAgent(line: CommandLine, command: Command): Promise<void> {
  const { signal } = line
  await machineReady(line, command.getOptionValue('startAfter'))
  const startedAt = line.now() / 1000
  const recent = createRecentLines(MiB)
  const context = await openContext(line, command, { reader: 'journal', copyTo: recent })
  const { log, root } = context
  // uptime: how long the machine took to come here
  log.info({ version: line.version, hostname: hostname(), uptime_s: uptime() }, 'agent started')
  if (await isRescued(root)) {
    log.info({ file: RESCUED_FILE }, 'rescued, doing nothing')
    return await untilAborted(signal)
  }
  throwIfAborted(signal)
  const before = context.loaded.config
  await using client = openClient(before, log)
  const hardware = await operation(log, 'load hardware managers', {}, () =>
    loadMachine({ config: before, root, log }),
  )
  if (before.hardware_initialization_delay > 0) {
    await sleep(before.hardware_initialization_delay * 1000, signal)
  }
  const tokens = createTokenKeeper({ runDir: before.run_dir, embedded: before.agent_token })
  const found = client && (await findNode(line, context, { client, hardware, tokens }))
  if (found?.token === 'missing') {
    // restarting does not help: Ironic hands the token out once per boot (contract 2.6)
    log.error(
      { node_uuid: found.nodeUuid },
      'the agent token was handed out before and is not known here: reboot the machine',
    )
    return await untilAborted(signal)
  }
  const loaded = applyLookupOverrides(context.loaded, { ...found?.overrides })
  const nodeCache = createNodeCache()
  using rack = watchRack({ config: loaded.config, client, exec, root, log })
  // switches take their time, and the conductor does not wait that long for an inventory
  if (loaded.config.collect_lldp) void hardware.dispatch('listHardwareInfo').catch(() => undefined)
  if (found) {
    nodeCache.set(found.node)
    await hardware.dispatch('waitForDisks', found.node, signal)
  }
  const end = await serve({
    line,
    config: loaded.config,
    root,
    log: found ? log.child({ node_uuid: found.nodeUuid }) : log,
    client,
    found,
    hardware,
    tokens,
    nodeCache,
    rack,
    refreshNode: async (during) =>
      client && (await lookAgain(line, context, { client, hardware, tokens }, during)).node,
    recentLog: () => recent.text(),
    startedAt,
  })
  if (end.isRescued) {
    log.info('rescued, doing nothing')
    await untilAborted(signal)
  }
  log.info({ reason: end.reason }, 'agent ended')
}

/**
 * In a ramdisk the agent is loaded while devices and network come up; their settings, among them files of
 * virtual media, are read once the file of --start-after is there.
 */
async function machineReady({ signal, loadExtensions }: CommandLine, path: unknown): Promise<void> {
  if (typeof path !== 'string') return
  // what fails here fails again when it is needed, and is reported there
  await loadExtensions().catch(() => undefined)
  const deadline = performance.now() + START_AFTER_WAIT_MS
  while (!existsSync(path) && performance.now() < deadline) await sleep(START_AFTER_POLL_MS, signal)
}

/** Undefined without any URL: the agent then serves its API and heartbeats to nobody (contract 1.5). */
function openClient(config: Config, log: Logger): IronicClient | undefined {
  if (config.api_url.includes('mdns')) {
    throw new AgentError(
      'InvalidConfigError',
      'option api_url is "mdns", which this version cannot do; give http(s)://host:port',
    )
  }
  if (config.api_url.length > 0) return createIronicClient({ config, log })
  log.error('no URL of Ironic is known: set ipa-api-url on the kernel line; not heartbeating')
  return undefined
}

interface Parts {
  readonly client: IronicClient
  readonly hardware: Hardware
  readonly tokens: TokenKeeper
}

async function findNode(
  line: CommandLine,
  { loaded, log }: Context,
  { client, hardware, tokens }: Parts,
): Promise<LookedUpNode> {
  const { signal, random } = line
  await waitForInterface(hardware, log, signal)
  return await operation(log, 'look the node up', {}, async (note) => {
    const found = await lookupNode({
      client,
      tokens,
      config: loaded.config,
      log,
      addresses: () => macAddresses(hardware),
      random,
      signal,
    })
    note({ node_uuid: found.nodeUuid, heartbeat_timeout_s: found.heartbeatTimeoutSeconds })
    return found
  })
}

/** While a command waits for the answer: Ironic may refuse it, because the node is locked by the deploy. */
async function lookAgain(
  line: CommandLine,
  { loaded, log }: Context,
  { client, hardware, tokens }: Parts,
  during: AbortSignal,
): Promise<LookedUpNode> {
  return await lookupNode({
    client,
    tokens,
    config: { ...loaded.config, lookup_timeout: REFRESH_SECONDS },
    log,
    addresses: () => macAddresses(hardware),
    random: line.random,
    signal: anySignal(line.signal, during),
  })
}

async function macAddresses(hardware: Hardware): Promise<string[]> {
  const interfaces = await hardware.dispatch('listNetworkInterfaces')
  return interfaces.flatMap(({ mac_address }) => mac_address ?? [])
}

/** Goes on without one after a minute: the lookup then says what is wrong. */
async function waitForInterface(
  hardware: Hardware,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + INTERFACE_WAIT_MS
  while ((await macAddresses(hardware)).length === 0) {
    if (performance.now() >= deadline) return log.warn('no network interface with a MAC address')
    log.info('waiting for a network interface')
    await sleep(INTERFACE_POLL_MS, signal)
  }
}
