// SPDX-License-Identifier: Apache-2.0
// Owns the one sentence that Ironic is told of the agent's work, for `baremetal node show`. Does not send it
// (ironic/heartbeat.ts).
import type { AgentState } from '../core/agent-state.ts'
import { redactBounded } from '../core/redact.ts'
import { describe } from './console.ts'

/** Ironic keeps it with each node, and reads the node at every call. */
const MAX_CHARS = 255

/** What else an operator should know while nothing is done. */
export interface StandingNews {
  /** Hardware managers that could not be loaded. */
  readonly leftOutManagers: readonly string[]
}

/**
 * `execute_deploy_step: writing the image 48.8% 125.0 MiB/256.0 MiB 50.1 MiB/s ETA 0:02 …`. Ironic keeps the last one
 * it got, so there is always one: also that nothing is done. Without secrets, at most 255 characters.
 */
export function statusMessage(
  { command }: Pick<AgentState, 'command'>,
  { leftOutManagers }: StandingNews = { leftOutManagers: [] },
): string {
  if (command === null) {
    const leftOut = leftOutManagers.join(', ')
    const news = leftOut && `; hardware managers left out: ${leftOut}`
    return redactBounded(`waiting for a command${news}`, MAX_CHARS)
  }
  const { name, progress } = command
  return redactBounded(progress === null ? name : `${name}: ${describe(progress)}`, MAX_CHARS)
}
