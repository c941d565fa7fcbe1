// SPDX-License-Identifier: Apache-2.0
// Owns telling Ironic that this agent lives: when, with which body, and what comes after a failure
// (contract 3.1 to 3.3). Does not end with an error: without heartbeats the deploy is lost.
import { type Random, uniform } from '../core/backoff.ts'
import { sleep } from '../core/deadline.ts'
import { AgentError, type ErrorType, messageOf, toAgentError } from '../core/errors.ts'
import type { EventPublisher } from '../core/events.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { TokenKeeper } from './agent-token.ts'
import { API_MINOR, type IronicClient } from './client.ts'

export interface HeartbeaterOptions {
  readonly client: IronicClient
  readonly nodeUuid: string
  /** `scheme://host:port`; the same for the whole boot. */
  readonly callbackUrl: string
  readonly tokens: TokenKeeper
  readonly agentVersion: string
  /** PEM of the self-signed certificate; absent unless auto TLS made one. */
  readonly verifyCa?: string | undefined
  readonly heartbeatTimeoutSeconds: number
  /** What Ironic is told of the work; absent: nothing. */
  readonly status?: HeartbeatStatus | undefined
  readonly log: Logger
  /** Hears what came of each. */
  readonly events?: EventPublisher
  readonly random: Random
  /** Monotonic, ms. */
  readonly now?: () => number
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>
}

export interface HeartbeatStatus {
  /** One sentence without secrets. */
  message(): string
  /** While it is true, heartbeats come at least every `intervalMs`. */
  isWorking(): boolean
  readonly intervalMs: number
}

export interface Heartbeater {
  /** Sends the first heartbeat at once. */
  start(): void
  /** Asks for a heartbeat as soon as 5 s have passed since the last one (contract 3.3). */
  force(): void
  /** Ends the loop; a request under way is given up. */
  stop(): Promise<void>
}

const SPACING_MS = 5000
/** Part of heartbeat_timeout after which the next one is due. */
const SHARE = { min: 0.3, max: 0.6 } as const
/** The like of the interval at which the status is told. */
const STATUS_SHARE = { min: 0.8, max: 1.2 } as const
const AFTER_FAILURE_MS = { min: 5000, max: 10_000 } as const
/** A timer longer than 2^31 ms would fire at once. */
const LONGEST_WAIT_MS = 3_600_000

export function createHeartbeater(options: HeartbeaterOptions): Heartbeater {
  const { random, log, status } = options
  const now = options.now ?? (() => performance.now())
  const wait = options.wait ?? sleep
  const stopping = new AbortController()
  let lastAt = Number.NEGATIVE_INFINITY
  let intervalMs = 0
  /** Jitter keeps nodes that began together apart. */
  let statusMs = Number.POSITIVE_INFINITY
  /** Raised by force(); a heartbeat answers only those wishes that came before it was sent. */
  let wishes = 0
  let answered = 0
  let wake: (() => void) | undefined
  let loop: Promise<void> | undefined

  const dueAt = () => {
    const isSooner = status?.isWorking() && statusMs < intervalMs
    const regular = lastAt + (isSooner ? Math.max(statusMs, SPACING_MS) : intervalMs)
    return wishes > answered ? Math.min(lastAt + SPACING_MS, regular) : regular
  }

  const tell = (
    result: 'answered' | 'failed',
    why: { reason: string | null; errorType?: ErrorType } = { reason: null },
  ) => {
    const nextSeconds = Math.round(intervalMs / 1000)
    options.events?.publish({ type: 'ironic', call: 'heartbeat', result, ...why, nextSeconds })
  }

  const beat = async (): Promise<void> => {
    const wishesBefore = wishes
    try {
      await sendHeartbeat(options, stopping.signal)
      answered = wishesBefore
      const timeoutMs = options.heartbeatTimeoutSeconds * 1000
      intervalMs = uniform(random, SHARE.min * timeoutMs, SHARE.max * timeoutMs)
      log.info({ node_uuid: options.nodeUuid, next_ms: Math.round(intervalMs) }, 'heartbeat sent')
      tell('answered')
    } catch (error) {
      if (stopping.signal.aborted) return
      intervalMs = uniform(random, AFTER_FAILURE_MS.min, AFTER_FAILURE_MS.max)
      const { type } = toAgentError(error, 'HeartbeatError')
      const next = Math.round(intervalMs)
      log.warn({ type, reason: messageOf(error), next_ms: next }, 'heartbeat failed')
      tell('failed', { reason: messageOf(error), errorType: type })
    }
    if (status) statusMs = status.intervalMs * uniform(random, STATUS_SHARE.min, STATUS_SHARE.max)
    lastAt = now()
  }

  /** Until `ms` have passed, force() or stop(). */
  const doze = async (ms: number) => {
    const alarm = new AbortController()
    wake = () => alarm.abort()
    // work may begin meanwhile
    const longestMs = Math.min(status?.intervalMs ?? LONGEST_WAIT_MS, LONGEST_WAIT_MS)
    await wait(Math.min(ms, longestMs), alarm.signal).catch(() => undefined)
  }

  const run = async () => {
    while (!stopping.signal.aborted) {
      const waitMs = dueAt() - now()
      if (waitMs > 0) await doze(waitMs)
      else await beat()
    }
  }

  return {
    start: () => {
      loop ??= run()
    },
    force: () => {
      wishes++
      wake?.()
    },
    stop: async () => {
      stopping.abort(new AgentError('CancelledError', 'heartbeats were stopped'))
      wake?.()
      await loop
    },
  }
}

/** One heartbeat. Throws HeartbeatError, HeartbeatConflictError or HeartbeatConnectionError. */
async function sendHeartbeat(options: HeartbeaterOptions, signal: AbortSignal): Promise<void> {
  const { client, nodeUuid } = options
  const minor = await client.apiMinor(signal)
  const reply = await client
    .heartbeat(nodeUuid, heartbeatBody(options, minor), signal)
    .catch((error: unknown): never => {
      throw new AgentError('HeartbeatConnectionError', messageOf(error), { cause: error })
    })
  if (reply.status === 202) return
  const text = `status ${reply.status} where 202 was expected: ${reply.errorText}`
  throw new AgentError(reply.status === 409 ? 'HeartbeatConflictError' : 'HeartbeatError', text)
}

/** Exactly what the server's version knows: it refuses every other field (contract 3.1). */
export function heartbeatBody(
  options: Pick<
    HeartbeaterOptions,
    'callbackUrl' | 'agentVersion' | 'tokens' | 'verifyCa' | 'status'
  >,
  minor: number,
): Record<string, string> {
  const token = options.tokens.current()
  return {
    callback_url: options.callbackUrl,
    ...(minor >= API_MINOR.agentVersion ? { agent_version: options.agentVersion } : {}),
    ...(minor >= API_MINOR.agentToken && token !== undefined ? { agent_token: token } : {}),
    ...(minor >= API_MINOR.agentVerifyCa && options.verifyCa !== undefined
      ? { agent_verify_ca: options.verifyCa }
      : {}),
    // without `agent_status`, whose words steer the deploy of a ramdisk that is no agent
    ...(minor >= API_MINOR.agentStatus && options.status
      ? { agent_status_message: options.status.message() }
      : {}),
  }
}
