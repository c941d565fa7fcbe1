// SPDX-License-Identifier: Apache-2.0
// Owns what the agent is doing, as far as the events tell: a pure fold. The stream's snapshot is this fold
// over all events; a reader that replays them comes to the same. Does not keep events.
import type { AgentEvent, Progress, Stage } from './events.ts'

export interface AgentState {
  /** Id of the last event in it; 0 before the first. */
  readonly lastId: number
  /** The asynchronous command that runs, with the figures it has told; null while none runs. */
  readonly command: {
    readonly commandId: string
    readonly name: string
    readonly progress: Progress | null
  } | null
  /** What has begun and not ended, in the order of the beginnings. */
  readonly operations: readonly string[]
  readonly stage: Stage | null
  /** The last figures, whoever told them and whether or not that is over. */
  readonly progress: Progress | null
  readonly swarm: Extract<AgentEvent, { type: 'swarm' }> | null
  /** In the order in which they began to fail. */
  readonly failingTrackers: readonly Extract<AgentEvent, { type: 'tracker' }>[]
  readonly lastWarning: Extract<AgentEvent, { type: 'warning' }> | null
}

export const INITIAL_STATE: AgentState = {
  lastId: 0,
  command: null,
  operations: [],
  stage: null,
  progress: null,
  swarm: null,
  failingTrackers: [],
  lastWarning: null,
}

/** A bound, should something begin again and again without an end. */
const MAX_OPERATIONS = 64

/** More than a torrent may have. */
const MAX_TRACKERS = 64

/** The state after `event`. */
export function nextState(state: AgentState, event: AgentEvent): AgentState {
  return { ...state, ...changeOf(state, event), lastId: event.id }
}

function changeOf(state: AgentState, event: AgentEvent): Partial<AgentState> {
  switch (event.type) {
    case 'operation':
      return { operations: nextOperations(state.operations, event) }
    case 'command':
      return { command: nextCommand(state.command, event) }
    case 'stage':
      return { stage: event.state === 'began' ? event.stage : null }
    case 'progress': {
      const { progress } = event
      return { progress, command: state.command && { ...state.command, progress } }
    }
    case 'swarm':
      return { swarm: event }
    case 'tracker':
      return { failingTrackers: nextTrackers(state.failingTrackers, event) }
    case 'warning':
      return { lastWarning: event }
  }
}

function nextOperations(
  open: readonly string[],
  { operation = '', state }: { readonly operation?: string; readonly state: 'began' | 'ended' },
): readonly string[] {
  if (state === 'began') return [...open, operation].slice(-MAX_OPERATIONS)
  const index = open.lastIndexOf(operation)
  return index < 0 ? open : open.toSpliced(index, 1)
}

function nextCommand(
  running: AgentState['command'],
  { commandId, name, status }: Extract<AgentEvent, { type: 'command' }>,
): AgentState['command'] {
  if (status === 'RUNNING') return { commandId, name, progress: null }
  return running?.commandId === commandId ? null : running
}

function nextTrackers(
  failing: AgentState['failingTrackers'],
  event: Extract<AgentEvent, { type: 'tracker' }>,
): AgentState['failingTrackers'] {
  const others = failing.filter(({ tracker }) => tracker !== event.tracker)
  return event.state === 'failing' ? [...others, event].slice(-MAX_TRACKERS) : others
}
