// SPDX-License-Identifier: Apache-2.0
// Owns what the agent is doing, as far as the events tell: a pure fold. The stream's snapshot is this fold
// over all events; a reader that replays them comes to the same. Does not keep events.
import type { WireError } from './errors.ts'
import type {
  AgentEvent,
  CommandStatus,
  MachineFacts,
  Phase,
  Progress,
  Stage,
  SyncingArray,
} from './events.ts'

export interface AgentState {
  /** Id of the last event in it; 0 before the first. */
  readonly lastId: number
  /** The asynchronous command that runs, with the figures it has told; null while none runs. */
  readonly command: {
    readonly commandId: string
    readonly name: string
    /** The step's name, of a command that executes one. */
    readonly subject?: string
    readonly progress: Progress | null
    /** Wall clock, ms. */
    readonly startedAt: number
  } | null
  readonly phase: Phase
  readonly machine: MachineFacts
  /** What came of the last call of Ironic. */
  readonly ironic: Extract<AgentEvent, { type: 'ironic' }> | null
  /** When Ironic answered last; wall clock, ms. */
  readonly ironicAnsweredAt: number | null
  /** The last asynchronous command that has ended. */
  readonly lastCommand: {
    readonly name: string
    readonly subject?: string
    readonly status: CommandStatus
    readonly error: WireError | null
    readonly endedAt: number
  } | null
  /** What has begun and not ended, in the order of the beginnings. */
  readonly operations: readonly string[]
  readonly stage: Stage | null
  /** The stages of the plan that is followed, and which of them runs: -1 before the first. */
  readonly steps: { readonly stages: readonly Stage[]; readonly at: number } | null
  /** The last figures, whoever told them and whether or not that is over. */
  readonly progress: Progress | null
  readonly swarm: Extract<AgentEvent, { type: 'swarm' }> | null
  /** Those that md brings in sync, beside whatever else is done. */
  readonly syncing: readonly SyncingArray[]
  /** While one is fetched or seeded. */
  readonly torrent: Extract<AgentEvent, { type: 'torrent' }> | null
  /** In the order in which they began to fail. */
  readonly failingTrackers: readonly Extract<AgentEvent, { type: 'tracker' }>[]
  readonly lastWarning: Extract<AgentEvent, { type: 'warning' }> | null
}

export const INITIAL_STATE: AgentState = {
  lastId: 0,
  command: null,
  phase: 'starting',
  machine: {},
  ironic: null,
  ironicAnsweredAt: null,
  lastCommand: null,
  operations: [],
  stage: null,
  steps: null,
  progress: null,
  swarm: null,
  syncing: [],
  torrent: null,
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

/** The figures of what runs: of a command, or of what the agent does without one; null where nothing does. */
export function runningProgress({ command, stage, progress }: AgentState): Progress | null {
  if (command !== null) return command.progress
  return stage === null ? null : progress
}

/** Which step of how many; null where nobody has said how many there are, or it is all there is. */
export function stepOf({ steps, stage }: AgentState): { n: number; of: number } | null {
  if (steps === null || steps.at < 0 || steps.stages.length < 2) return null
  // a stage that is none of those that were to come
  if (stage !== null && stage !== steps.stages[steps.at]) return null
  return { n: steps.at + 1, of: steps.stages.length }
}

function changeOf(state: AgentState, event: AgentEvent): Partial<AgentState> {
  switch (event.type) {
    case 'operation':
      return { operations: nextOperations(state.operations, event) }
    case 'command':
      return nextCommand(state, event)
    case 'phase':
      return { phase: event.phase }
    case 'machine':
      return { machine: { ...state.machine, ...event.facts } }
    case 'ironic':
      return event.result === 'answered'
        ? { ironic: event, ironicAnsweredAt: event.at }
        : { ironic: event }
    case 'torrent':
      return { torrent: event.state === 'left' ? null : event }
    case 'stage':
      if (event.state === 'ended') return { stage: null }
      return { stage: event.stage, steps: nextSteps(state.steps, event.stage) }
    case 'plan':
      return { steps: { stages: event.stages, at: -1 } }
    case 'progress': {
      const { progress } = event
      return { progress, command: state.command && { ...state.command, progress } }
    }
    case 'swarm':
      return { swarm: event }
    case 'arrays':
      return { syncing: event.syncing }
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
  { command: running }: AgentState,
  { commandId, name, subject, status, error, at }: Extract<AgentEvent, { type: 'command' }>,
): Partial<AgentState> {
  const named = subject === undefined ? { name } : { name, subject }
  if (status === 'RUNNING') {
    return { command: { commandId, ...named, progress: null, startedAt: at }, steps: null }
  }
  if (running?.commandId !== commandId) return {}
  return { command: null, steps: null, lastCommand: { ...named, status, error, endedAt: at } }
}

function nextSteps(steps: AgentState['steps'], stage: Stage): AgentState['steps'] {
  if (steps === null) return null
  const later = steps.stages.indexOf(stage, steps.at + 1)
  // a piece that turned out wrong is fetched again: back to where that was
  const at = later >= 0 ? later : steps.stages.lastIndexOf(stage)
  return at < 0 ? steps : { ...steps, at }
}

function nextTrackers(
  failing: AgentState['failingTrackers'],
  event: Extract<AgentEvent, { type: 'tracker' }>,
): AgentState['failingTrackers'] {
  const others = failing.filter(({ tracker }) => tracker !== event.tracker)
  return event.state === 'failing' ? [...others, event].slice(-MAX_TRACKERS) : others
}
