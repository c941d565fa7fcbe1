// SPDX-License-Identifier: Apache-2.0
// Owns the life of the serving agent: start, wait for an end, close in order. Does not make its parts
// (compose.ts) and does not find the node (run.ts).
import type { ApiServer } from '../api/server.ts'
import type { CommandRunner } from '../commands/runner.ts'
import type { Config } from '../config/options.ts'
import { throwIfAborted, untilAborted } from '../core/deadline.ts'
import { AgentError, messageOf } from '../core/errors.ts'
import type { SeedingKeeper } from '../deploy/seeding-keeper.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Heartbeats } from './heartbeats.ts'

export interface ServingAgent {
  readonly config: Pick<Config, 'listen_host' | 'listen_port'>
  readonly log: Logger
  readonly metrics: Disposable
  /** Undefined where no Ironic is known. */
  readonly heartbeats: Heartbeats | undefined
  readonly seeding: Pick<SeedingKeeper, 'release'>
  readonly runner: Pick<CommandRunner, 'close'>
  readonly server: ApiServer
  readonly isTls: boolean
  /** A command has ended the machine (`machine_control=log`), rescued it or locked it down. */
  readonly ended: Promise<ServingEnd>
}

/**
 * Why the agent serves no more. After a rescue it must leave the machine alone, but not end; locked down it takes the
 * machine off its networks besides.
 */
export interface ServingEnd {
  readonly reason: string
  readonly afterwards: 'end' | 'leave the machine' | 'lock down'
}

/** What of a last answer has not left by then never will, ms. */
const LAST_ANSWER_MS = 5000

/**
 * Serves until the signal aborts or a command ends it; resolves once everything is closed.
 * Throws InvalidConfigError where it cannot listen.
 */
export async function serve(agent: ServingAgent, signal: AbortSignal): Promise<ServingEnd> {
  const { server, heartbeats, runner, seeding, metrics, log } = agent
  try {
    throwIfAborted(signal)
    const { host, port } = await listen(server, agent.config)
    log.info({ host, port, tls: agent.isTls }, 'api listening')
    heartbeats?.start(port)
    const ended = agent.ended.then(async (end) => {
      if (end.afterwards !== 'end') await server.drained(LAST_ANSWER_MS)
      return end
    })
    const aborted = untilAborted(signal).then(
      (): ServingEnd => ({ reason: messageOf(signal.reason), afterwards: 'end' }),
    )
    return await Promise.race([ended, aborted])
  } finally {
    // no heartbeat may promise an agent that is going; a command must leave its disk unbootable first
    await heartbeats?.stop()
    await runner.close()
    await seeding.release('agent ends')
    await server.close()
    metrics[Symbol.dispose]()
  }
}

async function listen(server: ApiServer, config: ServingAgent['config']) {
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
