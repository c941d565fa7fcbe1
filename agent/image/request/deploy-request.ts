// SPDX-License-Identifier: Apache-2.0
// Owns what the pipeline is asked for and what it works with. Does not parse: image-info.ts does, at the edge.
import type { Config } from '../../config/options.ts'
import type { Random } from '../../core/backoff.ts'
import type { ArenaBudget } from '../../sources/swarm/thread/arena-budget.ts'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { ConfigDriveText, ImageInfo } from './image-info.ts'

/** One image for one disk. */
export interface ImageRequest {
  readonly imageInfo: ImageInfo
  /** As Ironic sent it (contract 5.3.8): a url or base64 of a gzip; null for none. */
  readonly configdrive: ConfigDriveText | null
  readonly devicePath: string
}

/** What planning works with; `ironswarm plan` needs no more. */
export interface PlanDeps {
  readonly config: Config
  readonly root: Root
  readonly log: Logger
  readonly random: Random
}

export interface DeployImageDeps extends PlanDeps {
  readonly exec: Exec
  /** The rack's name if it is found out later; undefined if it is not. */
  readonly laterRack?: Promise<string | undefined>
  /** What pieces of all torrents may take together (option swarm_memory). */
  readonly swarmMemory: ArenaBudget
  /** Milliseconds that only go forward. */
  readonly now: () => number
}
