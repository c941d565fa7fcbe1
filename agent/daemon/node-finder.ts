// SPDX-License-Identifier: Apache-2.0
// Owns asking Ironic which node this machine is: at the start, and again while a command waits for it.
// Does not know the protocol of the lookup; ironic/lookup.ts does.
import type { Config } from '../config/options.ts'
import { anySignal, sleep } from '../core/deadline.ts'
import type { JsonObject } from '../core/json.ts'
import type { Hardware } from '../hardware/dispatcher.ts'
import type { TokenKeeper } from '../ironic/agent-token.ts'
import type { IronicClient } from '../ironic/client.ts'
import { type LookedUpNode, lookupNode } from '../ironic/lookup.ts'
import type { Process } from '../system/process.ts'
import type { Logger } from '../telemetry/logger.ts'
import { operation } from '../telemetry/operation.ts'

/** Contract 1.5 step 6: how long to wait for a network interface, and how often to look. */
const INTERFACE_WAIT_MS = 60_000
const INTERFACE_POLL_MS = 5000
const REFRESH_SECONDS = 10

export interface NodeFinderDeps {
  readonly client: IronicClient
  readonly hardware: Hardware
  readonly tokens: TokenKeeper
  readonly config: Config
  readonly log: Logger
  readonly process: Pick<Process, 'random' | 'signal' | 'events'>
}

export interface NodeFinder {
  /** The first lookup, once there is a network interface to be known by. Throws LookupNodeError. */
  find(): Promise<LookedUpNode>
  /**
   * The node anew while a command waits for the answer, at most 10 s: Ironic may refuse it, because the
   * node is locked by the deploy. Throws LookupNodeError.
   */
  refresh(during: AbortSignal): Promise<JsonObject>
}

export function createNodeFinder(deps: NodeFinderDeps): NodeFinder {
  const { client, hardware, tokens, config, log } = deps
  const { random, signal, events } = deps.process
  const common = { client, tokens, log, random, addresses: () => macAddresses(hardware) }
  return {
    find: async () => {
      await waitForInterface(hardware, log, signal)
      return await operation(events, 'look the node up', {}, async (note) => {
        const found = await lookupNode({ ...common, config, signal })
        note({ node_uuid: found.nodeUuid, heartbeat_timeout_s: found.heartbeatTimeoutSeconds })
        return found
      })
    },
    refresh: async (during) => {
      const found = await lookupNode({
        ...common,
        config: { ...config, lookup_timeout: REFRESH_SECONDS },
        signal: anySignal(signal, during),
      })
      return found.node
    },
  }
}

async function macAddresses(hardware: Hardware): Promise<string[]> {
  const interfaces = await hardware.dispatch('listNetworkInterfaces')
  return interfaces.map(({ mac_address }) => mac_address)
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
