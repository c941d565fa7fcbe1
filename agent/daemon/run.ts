// SPDX-License-Identifier: Apache-2.0
// Owns the order in which the agent comes up (contract 1.5), from its configuration to the point where it
// serves. Does not put the serving agent together (compose.ts) and does not order its life (serve.ts).
import { hostname, uptime } from 'node:os'
import type { LoadedConfig } from '../config/load.ts'
import { applyLookupOverrides } from '../config/lookup-overrides.ts'
import type { Config } from '../config/options.ts'
import { sleep, throwIfAborted, untilAborted } from '../core/deadline.ts'
import { AgentError } from '../core/errors.ts'
import type { Phase } from '../core/events.ts'
import { redactText } from '../core/redact.ts'
import type { CreateExtensions } from '../deploy/extension-deps.ts'
import { loadMachine } from '../deploy/machine.ts'
import { watchRack } from '../deploy/rack.ts'
import { isRescued, RESCUED_FILE } from '../deploy/rescue-mark.ts'
import type { Hardware } from '../hardware/dispatcher.ts'
import { attachIbft } from '../hardware/ibft.ts'
import { createTokenKeeper } from '../ironic/agent-token.ts'
import { createIronicClient, type IronicClient } from '../ironic/client.ts'
import { inspectionUrls } from '../ironic/inspection.ts'
import type { LookedUpNode } from '../ironic/lookup.ts'
import { createNodeCache } from '../ironic/node-cache.ts'
import { setSystemClock } from '../system/clock/clocks.ts'
import { exec } from '../system/exec.ts'
import { takeOffNetworks } from '../system/net.ts'
import { bringUpVlans, type VlanDeps } from '../system/network/vlans.ts'
import { forgetKernel } from '../system/power.ts'
import type { Process } from '../system/process.ts'
import type { Root } from '../system/root.ts'
import type { EventLog } from '../telemetry/event-log.ts'
import type { Logger } from '../telemetry/logger.ts'
import { operation, warn } from '../telemetry/operation.ts'
import { type AgentParts, composeAgent } from './compose.ts'
import type { Consoles } from './consoles.ts'
import { discover } from './discovery.ts'
import { inspect } from './inspection.ts'
import { waitForInterface } from './interfaces.ts'
import { findIronicUrls } from './ironic-urls.ts'
import { tellHardware, tellIronic, tellNode } from './machine-facts.ts'
import { createNodeFinder, type NodeFinder } from './node-finder.ts'
import { serve } from './serve.ts'

/** What the agent begins with. */
export interface AgentStart {
  readonly process: Process
  readonly loaded: LoadedConfig
  readonly root: Root
  readonly log: Logger
  /** The lines of events in that log. */
  readonly eventLog: EventLog
  /** The last log lines. */
  readonly recentLog: () => string
  /** Where somebody may want Ironic to be asked at once. */
  readonly consoles: Pick<Consoles, 'onRetry'>
  readonly createExtensions: CreateExtensions
}

/**
 * Runs the agent until its signal aborts or the machine would power off.
 * Throws InvalidConfigError, LookupNodeError (the supervisor starts the process again), LookupAgentIPError.
 */
export async function runAgent(given: AgentStart): Promise<void> {
  const { process, log } = given
  const { signal } = process
  const startedAt = process.now() / 1000
  // uptime: how long the machine took to come here
  log.info({ version: process.version, hostname: hostname(), uptime_s: uptime() }, 'agent started')
  enter(process, 'starting')
  if (await isRescued(given.root)) {
    log.info({ file: RESCUED_FILE }, 'rescued, doing nothing')
    enter(process, 'rescued')
    return await untilAborted(signal)
  }
  throwIfAborted(signal)
  const start = await findSettings(given)
  const before = start.loaded.config
  await using client = openClient(start, before)
  tellIronic(process.events, client?.urls() ?? [])
  let known = before
  await using hardware = await openHardware(start, () => known)
  const tokens = createTokenKeeper({ runDir: before.run_dir, embedded: before.agent_token })
  const finder = client && createNodeFinder({ ...start, client, hardware, tokens, config: before })
  const found = await findNode(start, { client, finder, hardware })
  if (found?.token === 'missing') {
    // restarting does not help: Ironic hands the token out once per boot (contract 2.6)
    log.error(
      { node_uuid: found.nodeUuid },
      'the agent token was handed out before and is not known here: reboot the node through Ironic',
    )
    enter(process, 'held up')
    return await untilAborted(signal)
  }
  const { config, warnings } = applyLookupOverrides(start.loaded, { ...found?.overrides })
  known = config
  for (const warning of warnings) log.warn({ warning }, 'lookup')
  await client?.useTls(config)
  const ironic = client && finder && found ? { client, finder, found } : undefined
  await serveNode(start, { config, startedAt, hardware, tokens, client, ironic })
}

/** The start with all settings that can be had before Ironic is asked: for this, VLANs are up and the clock is right. */
async function findSettings(given: AgentStart): Promise<AgentStart> {
  const { log, process } = given
  const { signal } = process
  const { config: asked } = given.loaded
  if (asked.machine_control === 'real') await raiseVlans(asked, { exec, log, signal })
  const start = { ...given, loaded: await discover(given.loaded, { exec, log, signal }) }
  await setSystemClock({ exec, log, config: start.loaded.config, signal })
  return start
}

/** The hardware managers of this machine, once its devices have had their time to come up. */
async function openHardware(
  { process, loaded, root, log }: AgentStart,
  currentConfig: () => Config,
): Promise<Hardware> {
  const { config } = loaded
  const { signal } = process
  await forgetKernel({ exec, root, log, machineControl: config.machine_control })
  // a laboratory's machine is not the node
  if (config.machine_control === 'real') await attachIbft({ root, exec, log, signal })
  await using opened = new AsyncDisposableStack()
  const hardware = opened.use(
    await operation(process.events, 'load hardware managers', {}, (_, events) =>
      loadMachine({ config, root, log, events, currentConfig }),
    ),
  )
  if (config.hardware_initialization_delay > 0) {
    await sleep(config.hardware_initialization_delay * 1000, signal)
  }
  void tellHardware(hardware, process.events)
  // from here on whoever asked closes them
  opened.move()
  return hardware
}

type FoundNode = Pick<AgentParts, 'config' | 'startedAt' | 'hardware' | 'tokens' | 'ironic'> & {
  readonly client: IronicClient | undefined
}

/** Serves the node that was found, and leaves the machine as the end of it asks. */
async function serveNode(start: AgentStart, node: FoundNode): Promise<void> {
  const { process, root } = start
  const { config, hardware, client } = node
  const { signal } = process
  const found = node.ironic?.found
  const nodeCache = createNodeCache()
  using rack = watchRack({ config, client, exec, root, log: start.log })
  // switches take their time, and the conductor does not wait that long for an inventory
  if (config.collect_lldp) void hardware.dispatch('listHardwareInfo').catch(() => undefined)
  if (found) {
    nodeCache.set(found.node)
    tellNode(process.events, found)
    await hardware.dispatch('waitForDisks', found.node, signal)
  }
  const log = found ? start.log.child({ node_uuid: found.nodeUuid }) : start.log
  start.eventLog.use(log)
  const agent = await composeAgent({ ...start, ...node, log, nodeCache, rack })
  enter(process, 'serving')
  const end = await serve(agent, signal)
  enter(process, PHASES_AFTER[end.afterwards])
  if (end.afterwards === 'lock down') {
    await takeOffNetworks({ exec, root, log, machineControl: config.machine_control })
  }
  if (end.afterwards !== 'end') {
    log.info(`${end.reason}, doing nothing`)
    await untilAborted(signal)
  }
  log.info({ reason: end.reason }, 'agent ended')
}

interface Finding {
  readonly client: IronicClient | undefined
  readonly finder: NodeFinder | undefined
  readonly hardware: Hardware
}

/**
 * The node of this machine: after an inspection, where one is asked for, since Ironic may know no address of it
 * before. Undefined where there is nobody to ask.
 */
async function findNode(
  start: AgentStart,
  { client, finder, hardware }: Finding,
): Promise<LookedUpNode | undefined> {
  const { process, log } = start
  const { config } = start.loaded
  const apiUrls = client?.urls() ?? []
  if (finder || inspectionUrls(config, apiUrls).length > 0) {
    enter(process, 'waiting for the network')
    await waitForInterface(hardware, log, process.signal)
  }
  if (inspectionUrls(config, apiUrls).length > 0) enter(process, 'inspecting')
  const inspected = await inspect({ ...start, config, apiUrls, hardware })
  if (!finder && inspected.error !== undefined) {
    tell(process, `the inspection failed, and this machine waits: ${inspected.error}`)
  }
  if (finder) enter(process, 'looking the node up')
  return await finder?.find(inspected)
}

/** For a ramdisk whose boot has made none, as in ironic-python-agent. */
async function raiseVlans(config: Config, deps: VlanDeps): Promise<void> {
  const wanted = config.enable_vlan_interfaces
  const lldpSilenceMs = config.lldp_timeout * 1000
  const request = { wanted, lldpSilenceMs, linkWaitMs: 0, runDir: config.run_dir }
  await bringUpVlans(request, deps).catch((err) => deps.log.warn({ err }, 'no VLAN interfaces'))
}

/** Undefined without any URL: the agent then serves its API and heartbeats to nobody (contract 1.5). */
function openClient({ process, log }: AgentStart, config: Config): IronicClient | undefined {
  const { urls, notices } = findIronicUrls(config)
  for (const notice of notices) {
    warn(process.events, 'less than asked for', {}, new AgentError('InvalidConfigError', notice))
    tell(process, notice)
  }
  return urls.length === 0
    ? undefined
    : createIronicClient({ config: { ...config, api_url: urls }, log })
}

const PHASES_AFTER = {
  end: 'ending',
  'leave the machine': 'rescued',
  'lock down': 'locked down',
} as const satisfies Record<string, Phase>

function enter({ events }: Process, phase: Phase): void {
  events.publish({ type: 'phase', phase })
}

/** The log is JSON; this is the line that somebody at the machine's console reads. */
function tell(process: Process, text: string): void {
  process.stderr.write(`ironswarm: ${redactText(text)}\n`)
}
