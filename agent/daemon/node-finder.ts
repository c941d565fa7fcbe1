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
import type { Consoles } from './consoles.ts'
import type { InspectionOutcome } from './inspection.ts'
import { macAddresses } from './interfaces.ts'

const REFRESH_SECONDS = 10

export interface NodeFinderDeps {
  readonly client: IronicClient
  readonly hardware: Hardware
  readonly tokens: TokenKeeper
  readonly config: Config
  readonly log: Logger
  readonly process: Pick<Process, 'random' | 'signal' | 'events'>
  /** Somebody may want the next try at once. */
  readonly consoles: Pick<Consoles, 'onRetry'>
}

export interface NodeFinder {
  /**
   * The first lookup, by what an inspection before it has found out.
   * Throws LookupNodeError, which repeats why the inspection failed.
   */
  find(inspected: InspectionOutcome): Promise<LookedUpNode>
  /**
   * The node anew while a command waits for the answer, at most 10 s: Ironic may refuse it, because the
   * node is locked by the deploy. Throws LookupNodeError.
   */
  refresh(during: AbortSignal): Promise<JsonObject>
}

export function createNodeFinder(deps: NodeFinderDeps): NodeFinder {
  const { client, hardware, tokens, config, log } = deps
  const { random, signal, events } = deps.process
  const common = { client, tokens, log, events, random, addresses: () => macAddresses(hardware) }
  return {
    find: async ({ nodeUuid, error }) =>
      await operation(events, 'look the node up', {}, async (note) => {
        const found = await lookupNode({
          ...common,
          config,
          signal,
          wait: (ms, ending) => waitOrRetry(ms, ending, deps.consoles),
          nodeUuid,
          inspectionError: error,
        })
        note({ node_uuid: found.nodeUuid, heartbeat_timeout_s: found.heartbeatTimeoutSeconds })
        return found
      }),
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

/** Between two tries, whatever is pressed, ms. */
const LEAST_WAIT_MS = 1000

/** The wait between two tries, until somebody at a console wants the next one. Throws the signal's reason only. */
async function waitOrRetry(
  ms: number,
  signal: AbortSignal | undefined,
  consoles: Pick<Consoles, 'onRetry'>,
): Promise<void> {
  const wanted = new AbortController()
  const begunAt = performance.now()
  let timer: NodeJS.Timeout | undefined
  using _retry = consoles.onRetry(() => {
    // a key that is held down must not become a storm
    const earlyMs = begunAt + LEAST_WAIT_MS - performance.now()
    timer ??= setTimeout(() => wanted.abort(), Math.max(0, earlyMs))
  })
  try {
    await sleep(ms, anySignal(signal, wanted.signal))
  } catch (error) {
    if (signal?.aborted || !wanted.signal.aborted) throw error
  } finally {
    clearTimeout(timer)
  }
}
