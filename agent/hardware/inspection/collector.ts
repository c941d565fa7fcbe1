// SPDX-License-Identifier: Apache-2.0
// Owns what a collector of in-band inspection is: what it is given, what it answers, how it fails
// (contract 6.2). Knows no collector.
import type { Config } from '../../config/options.ts'
import type { JsonObject } from '../../core/json.ts'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { Hardware } from '../dispatcher.ts'
import type { LogMember } from '../manager.ts'

export interface CollectorDeps {
  readonly config: Pick<
    Config,
    | 'bootif'
    | 'collect_lldp'
    | 'inspection_benchmarks'
    | 'inspection_collectors'
    | 'inspection_dhcp_all_interfaces'
    | 'inspection_dhcp_wait_timeout'
  >
  readonly hardware: Hardware
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
  /** What the agent itself adds to the logs. */
  readonly ownLogs: () => readonly LogMember[]
  /** Wall clock, ms. */
  readonly now: () => number
}

export interface CollectorCall extends CollectorDeps {
  /** Names of all collectors that run. */
  readonly names: readonly string[]
  /** Aborts when the agent ends or the collector has had its time. */
  readonly signal: AbortSignal
  /** Says what went wrong, while the collector goes on; Ironic reads it, and fails the inspection. */
  readonly fail: (what: string) => void
}

/** Answers with the keys it adds to what is posted. What it throws is told, and the others go on. */
export type Collector = (call: CollectorCall) => Promise<JsonObject>
