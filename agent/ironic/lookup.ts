// SPDX-License-Identifier: Apache-2.0
// Owns finding out which node this machine is: asks until Ironic answers or the time is up, and turns
// the answer into plain facts (contract 2.2 to 2.6). Does not apply them.
import { type ContainerOverrides, containerOverrides } from '../config/container-options.ts'
import type { Config } from '../config/options.ts'
import { type MetricsOverrides, metricsOverrides } from '../config/tables/metrics-options.ts'
import { type Random, randomExponential } from '../core/backoff.ts'
import { sleep } from '../core/deadline.ts'
import { AgentError, type ErrorType, isAgentError, messageOf } from '../core/errors.ts'
import type { EventPublisher } from '../core/events.ts'
import { isObject, type JsonObject, objectAt, stringAt } from '../core/json.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { TokenKeeper, TokenOutcome } from './agent-token.ts'
import type { IronicClient } from './client.ts'
import type { IronicReply } from './reply.ts'

/** What Ironic's `config` changes; only what it said is there (contract 2.5). */
export interface LookupOverrides extends ContainerOverrides, MetricsOverrides {
  md5_enabled?: boolean
  disable_deep_image_inspection?: boolean
  /** As sent: 21.4 leaves out `gpt`, which `raw` implies. */
  permitted_image_formats?: readonly string[]
  enable_bios_bootloader_install?: true
  tls_min_version?: '1.2' | '1.3'
  tls_cipher_suites?: string
  agent_skip_bmc_detect?: boolean
}

export interface LookedUpNode {
  readonly nodeUuid: string
  readonly node: JsonObject
  readonly heartbeatTimeoutSeconds: number
  readonly overrides: LookupOverrides
  /** `missing` is fatal: commands could not be authenticated, so nothing may be served (contract 2.6). */
  readonly token: Exclude<TokenOutcome, 'absent'>
}

export interface LookupOptions {
  readonly client: IronicClient
  readonly tokens: TokenKeeper
  readonly config: Pick<Config, 'lookup_timeout' | 'lookup_interval'>
  readonly log: Logger
  /** Hears what came of each try. */
  readonly events?: EventPublisher
  /** MAC addresses of all interfaces, in order; asked before each attempt. */
  readonly addresses: () => readonly string[] | Promise<readonly string[]>
  /** Known from inspection. */
  readonly nodeUuid?: string | undefined
  /** Why the inspection before it failed: it may be why there is no node to be found. */
  readonly inspectionError?: string | undefined
  readonly random: Random
  /** Monotonic, ms. */
  readonly now?: () => number
  readonly wait?: (ms: number, signal?: AbortSignal) => Promise<void>
  readonly signal?: AbortSignal | undefined
}

const MAX_WAIT_MS = 60_000
/** A locked node is given more time before the normal wait: first, second, every further 409. */
const LOCKED_WAITS_MS = [5000, 10_000, 30_000] as const

/**
 * The node of this machine. Throws LookupNodeError when lookup_timeout has passed (the process then
 * ends non-zero, so that its supervisor starts it again), and the signal's reason.
 */
export async function lookupNode(options: LookupOptions): Promise<LookedUpNode> {
  const { client, config, log, random, signal } = options
  const now = options.now ?? (() => performance.now())
  const wait = options.wait ?? sleep
  const deadline = now() + config.lookup_timeout * 1000
  const bounds = { minMs: Math.max(config.lookup_interval * 1000, 1), maxMs: MAX_WAIT_MS }
  let conflicts = 0
  for (let attempt = 1; ; attempt++) {
    const outcome = await attemptLookup(options, client)
    if (typeof outcome !== 'string' && 'node' in outcome) {
      tell(options, 'answered')
      return outcome
    }
    const { isConflict, ...why } = outcome
    const { reason } = why
    let pauseMs = randomExponential(random, attempt, bounds)
    if (isConflict) pauseMs += LOCKED_WAITS_MS[Math.min(conflicts++, 2)] as number
    const leftMs = deadline - now()
    if (leftMs <= 0) {
      const before = options.inspectionError
      throw new AgentError(
        'LookupNodeError',
        `no node found within ${config.lookup_timeout} s and ${attempt} attempts; last: ${reason}` +
          (before === undefined ? '' : `; the inspection before it: ${before}`),
      )
    }
    log.warn({ attempt, wait_ms: Math.round(pauseMs), reason }, 'lookup failed')
    tell(options, 'failed', { ...why, nextSeconds: Math.round(pauseMs / 1000) })
    await wait(Math.min(pauseMs, leftMs), signal)
  }
}

function tell(
  { events }: Pick<LookupOptions, 'events'>,
  result: 'answered' | 'failed',
  why?: Omit<FailedAttempt, 'isConflict'> & { nextSeconds: number },
): void {
  const told = why ?? { reason: null, nextSeconds: null }
  events?.publish({ type: 'ironic', call: 'lookup', result, ...told })
}

const NO_TOKEN =
  'the answer has no agent_token of 32 characters or more; Ironic gives one from API version 1.62 on'

interface FailedAttempt {
  readonly reason: string
  readonly isConflict: boolean
  /** Where that says what to do: Ironic knows no such node, or is not there. */
  readonly errorType?: ErrorType
}

async function attemptLookup(
  options: LookupOptions,
  client: IronicClient,
): Promise<LookedUpNode | FailedAttempt> {
  const { signal, tokens } = options
  const failed = (reason: string) => ({ reason, isConflict: false })
  signal?.throwIfAborted()
  let reply: IronicReply
  try {
    const addresses = await options.addresses()
    reply = await client.lookup({ addresses, nodeUuid: options.nodeUuid }, signal)
  } catch (error) {
    if (isAgentError(error, 'IronicAPIError')) {
      return { ...failed(error.details), errorType: error.type }
    }
    signal?.throwIfAborted()
    return failed(messageOf(error))
  }
  if (reply.status !== 200) {
    return {
      reason: `status ${reply.status}: ${reply.errorText}`,
      isConflict: reply.status === 409,
      ...(reply.status === 404 ? { errorType: 'LookupNodeError' } : {}),
    }
  }
  const facts = parseLookup(reply.json)
  if (typeof facts === 'string') return failed(facts)
  const token = tokens.accept(facts.agentToken)
  if (token === 'absent') return failed(NO_TOKEN)
  const { nodeUuid, node, heartbeatTimeoutSeconds, overrides } = facts
  return { nodeUuid, node, heartbeatTimeoutSeconds, overrides, token }
}

interface LookupFacts extends Omit<LookedUpNode, 'token'> {
  readonly agentToken: unknown
}

/** The facts of a lookup's answer, or what is missing in it. */
export function parseLookup(json: unknown): LookupFacts | string {
  if (!isObject(json)) return 'the answer is not a JSON object'
  const node = objectAt(json, 'node')
  const nodeUuid = stringAt(node, 'uuid')
  if (nodeUuid === undefined) return 'the answer has no node.uuid'
  // A very old API has heartbeat_timeout at the top and no config (contract 2.5).
  const config = isObject(json['config']) ? json['config'] : json
  const timeout = config['heartbeat_timeout']
  if (typeof timeout !== 'number' || !(timeout > 0) || !Number.isFinite(timeout)) {
    return 'the answer has no config.heartbeat_timeout'
  }
  return {
    nodeUuid,
    node,
    heartbeatTimeoutSeconds: timeout,
    overrides: overridesOf(config),
    agentToken: config['agent_token'],
  }
}

function overridesOf(config: JsonObject): LookupOverrides {
  const overrides: LookupOverrides = {}
  const md5 = config['agent_md5_checksum_enable']
  if (typeof md5 === 'boolean') overrides.md5_enabled = md5
  const isShallow = config['disable_deep_image_inspection']
  if (typeof isShallow === 'boolean') overrides.disable_deep_image_inspection = isShallow
  const formats = config['permitted_image_formats']
  if (isListOfStrings(formats)) overrides.permitted_image_formats = formats
  // Only true counts: the ramdisk may have it on and the conductor's default is off.
  if (config['enable_bios_bootloader_install'] === true) {
    overrides.enable_bios_bootloader_install = true
  }
  const skipsBmc = config['agent_skip_bmc_detect']
  if (typeof skipsBmc === 'boolean') overrides.agent_skip_bmc_detect = skipsBmc
  return {
    ...overrides,
    ...tlsOverrides(config),
    ...containerOverrides(config['agent_containers']),
    ...metricsOverrides(config['metrics'], config['metrics_statsd']),
  }
}

function tlsOverrides(config: JsonObject): LookupOverrides {
  const version = config['tls_min_version']
  const suites = stringAt(config, 'tls_cipher_suites')
  return {
    ...(version === '1.2' || version === '1.3' ? { tls_min_version: version } : {}),
    ...(suites === undefined ? {} : { tls_cipher_suites: suites }),
  }
}

function isListOfStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}
