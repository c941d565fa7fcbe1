// SPDX-License-Identifier: Apache-2.0
// Owns telling Ironic that this agent lives: with which body, and again and again (contract 3.1 to 3.3; when,
// heartbeat-schedule.ts says). Does not end with an error: without heartbeats the deploy is lost.
import type { Random } from '../core/backoff.ts'
import { sleep } from '../core/deadline.ts'
import { AgentError, type ErrorType, messageOf, toAgentError } from '../core/errors.ts'
import type { EventPublisher } from '../core/events.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { TokenKeeper } from './agent-token.ts'
import { API_MINOR, type IronicClient } from './client.ts'
import { HeartbeatSchedule } from './heartbeat-schedule.ts'

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

/** A timer longer than 2^31 ms would fire at once. */
const LONGEST_WAIT_MS = 3_600_000

export function createHeartbeater(options: HeartbeaterOptions): Heartbeater {
  return new Loop(options)
}

class Loop implements Heartbeater {
  readonly #options: HeartbeaterOptions
  readonly #now: () => number
  readonly #wait: (ms: number, signal: AbortSignal) => Promise<void>
  readonly #schedule: HeartbeatSchedule
  readonly #stopping = new AbortController()
  #wake: (() => void) | undefined
  #running: Promise<void> | undefined

  constructor(options: HeartbeaterOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#wait = options.wait ?? sleep
    this.#schedule = new HeartbeatSchedule(options)
  }

  start(): void {
    this.#running ??= this.#run()
  }

  force(): void {
    this.#schedule.wish()
    this.#wake?.()
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new AgentError('CancelledError', 'heartbeats were stopped'))
    this.#wake?.()
    await this.#running
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const waitMs = this.#schedule.dueAt() - this.#now()
      if (waitMs > 0) await this.#doze(waitMs)
      else await this.#beat()
    }
  }

  /** Until `ms` have passed, force() or stop(). */
  async #doze(ms: number): Promise<void> {
    const alarm = new AbortController()
    this.#wake = () => alarm.abort()
    // work may begin meanwhile
    const longestMs = Math.min(this.#options.status?.intervalMs ?? LONGEST_WAIT_MS, LONGEST_WAIT_MS)
    await this.#wait(Math.min(ms, longestMs), alarm.signal).catch(() => undefined)
  }

  async #beat(): Promise<void> {
    const { log, nodeUuid } = this.#options
    const wishes = this.#schedule.wishes
    try {
      await sendHeartbeat(this.#options, this.#stopping.signal)
      const nextMs = this.#schedule.answered(wishes)
      log.info({ node_uuid: nodeUuid, next_ms: Math.round(nextMs) }, 'heartbeat sent')
      this.#tell('answered', nextMs)
    } catch (error) {
      if (this.#stopping.signal.aborted) return
      const nextMs = this.#schedule.failed()
      const { type } = toAgentError(error, 'HeartbeatError')
      const reason = messageOf(error)
      log.warn({ type, reason, next_ms: Math.round(nextMs) }, 'heartbeat failed')
      this.#tell('failed', nextMs, { reason, errorType: type })
    }
    this.#schedule.ended(this.#now())
  }

  #tell(
    result: 'answered' | 'failed',
    nextMs: number,
    why: { reason: string | null; errorType?: ErrorType } = { reason: null },
  ): void {
    const nextSeconds = Math.round(nextMs / 1000)
    const news = { type: 'ironic', call: 'heartbeat', result, ...why, nextSeconds } as const
    this.#options.events?.publish(news)
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
