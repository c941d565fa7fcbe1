// SPDX-License-Identifier: Apache-2.0
// Owns what the demo knows of one node while it deploys: the conductor's state and the last /v1/status
// of its agent. Agents of other make answer without progress; then only the state is known.

/** One row of the table; bytes and bytes per second. */
export interface NodeRow {
  readonly name: string
  readonly state: string
  readonly percent: number
  readonly rate: number
  readonly etaSeconds: number | null
  readonly fromPeers: number
  readonly fromOrigin: number
  readonly peers: number
}

export function emptyRow(name: string): NodeRow {
  return {
    name,
    state: 'off',
    percent: 0,
    rate: 0,
    etaSeconds: null,
    fromPeers: 0,
    fromOrigin: 0,
    peers: 0,
  }
}

const FINAL_STATES = ['active', 'deploy failed']

/**
 * The row after one look.
 * @param before the row so far: what an agent said last stays when it does not answer any more
 * @param state of the node, as the conductor has it
 * @param status body of /v1/status, if the agent answered
 */
export function nextRow(before: NodeRow, state: string, status: unknown): NodeRow {
  const progress = at(status, 'progress')
  const isFinal = FINAL_STATES.includes(state)
  if (typeof progress !== 'object' || progress === null) {
    const still = { ...before, rate: 0, etaSeconds: null }
    if (state === 'active') return { ...still, state, percent: 100 }
    if (at(status, 'is_seeding') === true) return { ...still, state: 'seeding', percent: 100 }
    return { ...still, state }
  }
  const bytes = at(progress, 'bytes')
  const step = at(progress, 'step')
  return {
    ...before,
    state: isFinal || typeof step !== 'string' ? state : step,
    percent: number(at(progress, 'percent')),
    rate: isFinal ? 0 : number(at(progress, 'rate_per_second')),
    etaSeconds: isFinal ? null : (numberOrNull(at(progress, 'eta_seconds')) ?? null),
    fromPeers: number(at(bytes, 'peers')),
    fromOrigin: number(at(bytes, 'origin')),
    peers: number(at(progress, 'peers')),
  }
}

/** Bytes by source as the agent logged them at the end of the write; undefined before that. */
export function loggedBytes(log: string): { peers: number; origin: number } | undefined {
  const line = log.split('\n').findLast((text) => text.includes('"msg":"write image finished"'))
  if (line === undefined) return undefined
  const bytes = at(JSON.parse(line), 'bytes')
  return { peers: number(at(bytes, 'peers')), origin: number(at(bytes, 'origin')) }
}

function at(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Record<string, unknown>)[key]
    : undefined
}

function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}

function number(value: unknown): number {
  return numberOrNull(value) ?? 0
}
