// SPDX-License-Identifier: Apache-2.0
// Owns what the extensions are given: an extension reaches machine, images and node only through these.
// Does not make any of them. It lies here because only main.ts may import extensions/.
import type { Extension } from '../commands/command.ts'
import type { Config } from '../config/options.ts'
import type { JsonObject } from '../core/json.ts'
import type { Hardware } from '../hardware/dispatcher.ts'
import type { NodeCache } from '../ironic/node-cache.ts'
import type { Exec } from '../system/exec.ts'
import type { Root } from '../system/root.ts'
import type { EventReader } from '../telemetry/event-stream.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { DeployService } from './deploy-service.ts'

export interface ExtensionDeps {
  readonly config: Config
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
  /** What the agent is doing, for the log bundle. */
  readonly events: Pick<EventReader, 'snapshot'>
  /** Wall clock, ms. */
  readonly now: () => number
  readonly hardware: Hardware
  /** The node object as last told by Ironic (lookup, or the `node` of a step call). */
  readonly nodeCache: Pick<NodeCache, 'current' | 'set'>
  /**
   * Looks the node up again, where a command names no node and no root device hints are known; undefined
   * where nobody can be asked.
   */
  readonly refreshNode: (signal: AbortSignal) => Promise<JsonObject | undefined>
  readonly deploy: DeployService
  /**
   * The machine belongs to the rescue user from here on: the agent stops serving once the answers under
   * way have been delivered, and stays idle.
   */
  readonly afterRescue: () => void
  /**
   * The agent serves no more once the answers under way have been delivered, takes the machine off its networks and
   * stays idle: nobody is to reach this machine until its power is cycled.
   */
  readonly lockDown: () => void
  /** The agent's recent log lines, for the log bundle. */
  readonly recentLog: () => string
}

/** What main.ts brings from extensions/. */
export type CreateExtensions = (deps: ExtensionDeps) => readonly Extension[]
