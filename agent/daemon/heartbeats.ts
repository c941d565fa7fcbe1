// SPDX-License-Identifier: Apache-2.0
// Owns the heartbeats of the serving agent: they begin once it is known at which port it can be reached.
// Does not decide when one is sent; ironic/heartbeat-schedule.ts does.
import type { Config } from '../config/options.ts'
import type { Hardware } from '../hardware/dispatcher.ts'
import { callbackUrl } from '../ironic/address.ts'
import type { TokenKeeper } from '../ironic/agent-token.ts'
import type { IronicClient } from '../ironic/client.ts'
import { createHeartbeater, type Heartbeater, type HeartbeatStatus } from '../ironic/heartbeat.ts'
import type { LookedUpNode } from '../ironic/lookup.ts'
import type { Process } from '../system/process.ts'
import type { Logger } from '../telemetry/logger.ts'
import { statusMessage } from '../telemetry/status-message.ts'

export interface HeartbeatsDeps {
  readonly client: IronicClient
  readonly found: LookedUpNode
  /** The address Ironic is to call. */
  readonly address: string
  readonly tokens: TokenKeeper
  readonly config: Pick<
    Config,
    'listen_port' | 'advertise_port' | 'advertise_protocol' | 'status_message_interval'
  >
  /** PEM of a certificate of our own; Ironic trusts no other. */
  readonly verifyCa: string | undefined
  readonly log: Logger
  readonly process: Pick<Process, 'random' | 'version' | 'events'>
  readonly hardware: Pick<Hardware, 'leftOut'>
}

export interface Heartbeats {
  /** Sends the first one at once. @param port where the API listens */
  start(port: number): void
  /** Asks for one soon; nothing before start. */
  force(): void
  stop(): Promise<void>
}

export function createHeartbeats(deps: HeartbeatsDeps): Heartbeats {
  const { client, found, address, tokens, config, verifyCa, log, process } = deps
  let heartbeater: Heartbeater | undefined
  return {
    start: (port) => {
      const protocol = verifyCa === undefined ? config.advertise_protocol : 'https'
      // port 0 is any port, which nobody can configure as the one to advertise
      const advertisedPort = config.listen_port === 0 ? port : config.advertise_port
      heartbeater = createHeartbeater({
        client,
        nodeUuid: found.nodeUuid,
        callbackUrl: callbackUrl(protocol, address, advertisedPort),
        tokens,
        agentVersion: process.version,
        verifyCa,
        heartbeatTimeoutSeconds: found.heartbeatTimeoutSeconds,
        status: statusOf(deps),
        log,
        events: process.events,
        random: process.random,
      })
      heartbeater.start()
    },
    force: () => heartbeater?.force(),
    stop: async () => await heartbeater?.stop(),
  }
}

function statusOf({
  config,
  hardware,
  process: { events },
}: HeartbeatsDeps): HeartbeatStatus | undefined {
  if (config.status_message_interval === 0) return undefined
  const leftOutManagers = hardware.leftOut.map(({ manager }) => manager)
  return {
    message: () => statusMessage(events.snapshot(), { leftOutManagers }),
    isWorking: () => events.snapshot().command !== null,
    intervalMs: config.status_message_interval * 1000,
  }
}
