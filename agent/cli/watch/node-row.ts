// SPDX-License-Identifier: Apache-2.0
// Owns what is known of one watched node: what Ironic says of it, and the last /v1/status of its agent. All of it
// comes from outside: it is narrowed and cut here. Asks nobody.
import { oneLine } from '../../core/cut-text.ts'
import type { Unit } from '../../core/events.ts'
import { isObject, objectAt, stringAt } from '../../core/json.ts'

/** A node to ask. */
export interface WatchedNode {
  /** The same over all rounds: the uuid, else the URL. */
  readonly id: string
  readonly name: string
  /** Of its agent's API, without a path; null while Ironic knows none. */
  readonly url: string | null
  /** As Ironic has it; null where nobody asked Ironic. */
  readonly provision_state: string | null
  /** `last_error` of Ironic. */
  readonly error: string | null
}

/** What a table and `--json` show. */
export interface NodeRow extends WatchedNode {
  /** The step, or what the agent does, or what Ironic says where it does not answer. */
  readonly state: string
  readonly command: string | null
  readonly step: string | null
  readonly percent: number
  /** Of `done`, `total` and `rate`, which is per second. */
  readonly unit: Unit
  readonly done: number
  readonly total: number
  readonly rate: number
  readonly eta_seconds: number | null
  /** What the step is done to, where the agent says so. */
  readonly subject: string | null
  /** Arrays that md brings in sync beside it. */
  readonly syncing_arrays: readonly RowArray[]
  readonly from_peers: number
  readonly from_origin: number
  readonly uploaded_bytes: number
  readonly peers: number
  readonly failing_trackers: readonly string[]
  readonly left_out_hardware_managers: readonly string[]
  /** When the agent answered last, ms since the epoch; null: never. */
  readonly answered_at: number | null
  /** Why it did not answer the last time; null: it did. */
  readonly no_answer: string | null
}

/** An array that a node's md brings in sync; bytes per second. */
export interface RowArray {
  readonly array: string
  readonly action: string
  readonly percent: number
  readonly rate: number
  readonly eta_seconds: number | null
}

const UNITS: readonly Unit[] = ['bytes', 'seconds', 'items']
const MAX_TEXT = 200
const MAX_ITEMS = 16

/** Of a node that nobody has answered for yet. */
export const ASKING = 'asking'

/** Before anybody was asked. */
export function emptyRow(node: WatchedNode): NodeRow {
  return {
    ...node,
    state: node.provision_state ?? ASKING,
    command: null,
    step: null,
    percent: 0,
    unit: 'bytes',
    done: 0,
    total: 0,
    rate: 0,
    eta_seconds: null,
    subject: null,
    syncing_arrays: [],
    from_peers: 0,
    from_origin: 0,
    uploaded_bytes: 0,
    peers: 0,
    failing_trackers: [],
    left_out_hardware_managers: [],
    answered_at: null,
    no_answer: null,
  }
}

/** The row after an answer. @param status body of /v1/status @param at ms since the epoch */
export function answeredRow(node: WatchedNode, status: unknown, at: number): NodeRow {
  const progress = objectAt(status, 'progress')
  const bytes = objectAt(progress, 'bytes')
  const step = text(progress, 'step')
  const command = text(status, 'command')
  const isSeeding = isObject(status) && status['is_seeding'] === true
  const isDone = step === 'done' || (isSeeding && command === null)
  return {
    ...emptyRow(node),
    name: node.name === node.url ? (text(status, 'node_uuid') ?? node.name) : node.name,
    state: stateOf(step, command, { isSeeding, isSyncing: arrays(status).length > 0 }),
    command,
    step,
    percent: isDone ? 100 : Math.min(100, number(progress, 'percent')),
    unit: UNITS.find((unit) => unit === text(progress, 'unit')) ?? 'bytes',
    done: number(progress, 'done'),
    total: number(progress, 'total'),
    rate: isDone ? 0 : number(progress, 'rate_per_second'),
    eta_seconds: isDone ? null : numberOrNull(progress, 'eta_seconds'),
    subject: text(progress, 'subject'),
    syncing_arrays: arrays(status),
    from_peers: number(bytes, 'peers'),
    from_origin: number(bytes, 'origin'),
    uploaded_bytes: number(progress, 'uploaded_bytes'),
    peers: number(progress, 'peers'),
    failing_trackers: items(status, 'failing_trackers', 'tracker', 'reason'),
    left_out_hardware_managers: items(status, 'left_out_hardware_managers', 'manager', 'reason'),
    answered_at: at,
    no_answer: null,
  }
}

/** The row after none: what was known stays, but nothing moves. */
export function silentRow(before: NodeRow, node: WatchedNode, reason: string): NodeRow {
  const isOver = node.url === null
  const state = node.provision_state ?? 'no answer'
  const known = isOver ? emptyRow(node) : { ...before, ...node, name: before.name }
  return { ...known, state, rate: 0, eta_seconds: null, no_answer: clean(reason) }
}

/** One line of printable characters, not longer than a screen is wide. */
export function clean(words: string): string {
  return oneLine(words.slice(0, MAX_TEXT)).trim()
}

function stateOf(
  step: string | null,
  command: string | null,
  { isSeeding, isSyncing }: { readonly isSeeding: boolean; readonly isSyncing: boolean },
): string {
  if (step !== null && step !== 'done') return step
  if (isSeeding) return 'seeding'
  return command ?? step ?? (isSyncing ? 'RAID syncs' : 'idle')
}

function arrays(status: unknown): RowArray[] {
  const found = isObject(status) ? status['syncing_arrays'] : undefined
  if (!Array.isArray(found)) return []
  return found.slice(0, MAX_ITEMS).map((array) => ({
    array: text(array, 'array') ?? '',
    action: text(array, 'action') ?? '',
    percent: Math.min(100, number(array, 'percent')),
    rate: number(array, 'rate_per_second'),
    eta_seconds: numberOrNull(array, 'eta_seconds'),
  }))
}

function text(value: unknown, key: string): string | null {
  const found = clean(stringAt(value, key) ?? '')
  return found === '' ? null : found
}

function numberOrNull(value: unknown, key: string): number | null {
  const found = isObject(value) ? value[key] : undefined
  return typeof found === 'number' && Number.isFinite(found) && found >= 0 ? found : null
}

function number(value: unknown, key: string): number {
  return numberOrNull(value, key) ?? 0
}

function items(value: unknown, key: string, name: string, reason: string): string[] {
  const found = isObject(value) ? value[key] : undefined
  if (!Array.isArray(found)) return []
  return found
    .slice(0, MAX_ITEMS)
    .map((item) =>
      [text(item, name), text(item, reason)].filter((part) => part !== null).join(': '),
    )
}
