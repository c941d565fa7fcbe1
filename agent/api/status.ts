// SPDX-License-Identifier: Apache-2.0
// Owns what `/v1/status` says of the agent's work, read from the state that the events tell. Does not
// serve it (routes.ts).
import { type AgentState, runningProgress } from '../core/agent-state.ts'
import { type JsonObject, snakeCase } from '../core/json.ts'
import { redactText } from '../core/redact.ts'

/** Of a reason in `/v1/status`; the log has all of it. */
const MAX_REASON_CHARS = 300

/** Fields of `/v1/status`; the names are the wire's. */
export type StatusFields = {
  readonly node_uuid: string | null
  /** The asynchronous command that runs. */
  readonly command: string | null
  /** Its keys too; docs/watching.md has them. */
  readonly progress: JsonObject | null
  readonly is_seeding: boolean
  /** Arrays that md brings in sync: `array`, `action`, and figures as of the progress. */
  readonly syncing_arrays: readonly JsonObject[]
  readonly failing_trackers: readonly FailingTracker[]
  readonly left_out_hardware_managers: readonly LeftOutHardwareManager[]
}

/** A hardware manager that should be used and could not be loaded. */
export interface LeftOutHardwareManager {
  readonly manager: string
  readonly reason: string
}

/** A tracker that does not answer or refuses. */
export interface FailingTracker {
  /** Protocol and what is known of its address without secrets, `udp tracker:6969/announce`; no url. */
  readonly tracker: string
  /** Its words, or what went wrong. */
  readonly reason: string
}

/**
 * Anyone may read `/v1/status`: no secret, no url (contract 4.5). Progress is the running command's; in
 * between, that of an image which is on the disk, so that who looks late sees that it is.
 */
export function statusFields(
  state: AgentState,
  more: {
    readonly nodeUuid: string | null
    readonly isSeeding: boolean
    readonly isImageOnDisk: boolean
    readonly leftOutManagers: readonly LeftOutHardwareManager[]
  },
): StatusFields {
  const { command, progress, failingTrackers, syncing } = state
  const finished = more.isImageOnDisk && progress?.step === 'done' ? progress : null
  return {
    node_uuid: more.nodeUuid,
    command: command?.name ?? null,
    progress: snakeCase(runningProgress(state) ?? finished) as JsonObject | null,
    is_seeding: more.isSeeding,
    syncing_arrays: syncing.map(({ array, action, figures }) => ({
      ...{ array, action },
      ...(snakeCase(figures) as JsonObject),
    })),
    failing_trackers: failingTrackers.map(({ tracker, reason }) => ({
      tracker: tracker.replace('://', ' '),
      reason: reason ?? '',
    })),
    left_out_hardware_managers: more.leftOutManagers.map(({ manager, reason }) => ({
      manager,
      reason: redactText(reason).slice(0, MAX_REASON_CHARS),
    })),
  }
}
