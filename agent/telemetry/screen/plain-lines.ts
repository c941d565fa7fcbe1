// SPDX-License-Identifier: Apache-2.0
// Owns what a serial line is told: a line at each event that a person wants to hear of, and one now and then on what is
// done. ASCII, no escape codes, no JSON: it is read in a BMC's log. Does not open it.
import { type AgentState, runningProgress, stepOf } from '../../core/agent-state.ts'
import { messageOf } from '../../core/errors.ts'
import type { AgentEvent } from '../../core/events.ts'
import { formatDuration } from '../../core/units.ts'
import { describe, describeSync, STEP_WORDS } from '../console.ts'
import type { EventReader } from '../event-stream.ts'
import { remedyOf } from '../view/remedies.ts'
import { viewOf, wordsOf } from '../view/view.ts'
import { fitted, printable } from './lines.ts'

/** Longest line, characters; the log has all of it. */
const MAX_CHARS = 400
const MAX_REASON_CHARS = 300

export interface PlainLinesOptions {
  readonly write: (text: string) => unknown
  readonly events: Pick<EventReader, 'subscribe' | 'snapshot'>
  /** Wall clock, ms. */
  readonly now: () => number
  /** Time between the lines on what is done, ms; 10 000 unless given. */
  readonly intervalMs?: number
}

/** Until disposed of, or until the machine is rescued: its user must find nothing in what he types. */
export function openPlainLines(options: PlainLinesOptions): Disposable {
  const { write, events, now, intervalMs = 10_000 } = options
  const say = (text: string) => {
    const time = new Date(now()).toISOString().slice(11, 19)
    write(`ironswarm: ${time} ${asciiOf(text)}\r\n`)
  }
  let wasAnswering = false
  const timer = setInterval(() => say(statusOrWhyNot(events.snapshot(), now())), intervalMs)
  timer.unref()
  const subscription = events.subscribe((event) => {
    // a heartbeat that is answered as the one before is no news
    const isNews = event.type !== 'ironic' || event.result === 'failed' || !wasAnswering
    if (event.type === 'ironic') wasAnswering = event.result === 'answered'
    const text = isNews ? lineOf(event) : undefined
    if (text !== undefined) say(text)
    if (event.type === 'phase' && event.phase === 'rescued') end()
  })
  const end = () => {
    clearInterval(timer)
    subscription[Symbol.dispose]()
  }
  return { [Symbol.dispose]: end }
}

/** What cannot be said is no reason to end what is done. */
function statusOrWhyNot(state: AgentState, now: number): string {
  try {
    return statusLine(state, now)
  } catch (error) {
    return `what is done cannot be said: ${messageOf(error)}`
  }
}

/** `writing the image 48.8% …` while there are figures, else what a person would see first. */
export function statusLine(state: AgentState, now: number): string {
  const { syncing } = state
  const progress = runningProgress(state)
  if (progress && progress.step !== 'done') {
    const step = stepOf(state)
    return `${step ? `step ${step.n} of ${step.of}: ` : ''}${describe(progress)}`
  }
  const { headline, detail, ironic } = viewOf(state, now)
  const arrays = syncing.map(describeSync)
  const words = [headline, detail, ...arrays, ironic.url && `Ironic ${ironic.url} ${ironic.words}`]
  return words.filter((word) => word).join('; ')
}

/** Undefined for figures, and for what another event says better. */
export function lineOf(event: AgentEvent): string | undefined {
  switch (event.type) {
    case 'operation':
      return operationLine(event)
    case 'command':
      return commandLine(event)
    case 'stage':
      return event.state === 'began' ? STEP_WORDS[event.stage] : undefined
    case 'phase':
      return event.phase
    case 'machine':
      return machineLine(event.facts)
    case 'ironic':
      return ironicLine(event)
    case 'tracker': {
      const { tracker, state, reason } = event
      return `tracker ${tracker} ${state}${reason === null ? '' : `: ${reason}`}`
    }
    case 'warning': {
      const { message, error } = event
      return withRemedy(`warning: ${message}: ${error.type}: ${error.details}`, error.type)
    }
    default:
      return undefined
  }
}

function operationLine(event: Extract<AgentEvent, { type: 'operation' }>): string {
  const name = event.operation?.split('/').at(-1) ?? ''
  if (event.state === 'began') return `${name}: started`
  const time = formatDuration(event.durationMs / 1000)
  if (!event.error) return `${name}: done in ${time}`
  const { type, details } = event.error
  return withRemedy(`${name}: failed after ${time}: ${type}: ${details}`, type)
}

function commandLine(event: Extract<AgentEvent, { type: 'command' }>): string {
  const { status, error } = event
  const name = wordsOf(event)
  if (status === 'RUNNING') return `Ironic's command ${name}: started`
  const words = `Ironic's command ${name}: ${status.toLowerCase()}`
  return error ? withRemedy(`${words}: ${error.type}: ${error.details}`, error.type) : words
}

function machineLine({ links, nodeUuid, nodeName }: AgentState['machine']): string | undefined {
  if (nodeUuid !== undefined)
    return `this machine is node ${nodeName === undefined ? '' : `${nodeName} `}${nodeUuid}`
  if (links === undefined) return undefined
  const words = links.map(({ name, mac, hasCarrier, addresses }) => {
    const state = hasCarrier ? addresses.join(' ') || 'no address' : 'no link'
    return `${name} ${mac} ${state}`
  })
  return `network: ${words.join(', ') || 'no interface'}`
}

function ironicLine(event: Extract<AgentEvent, { type: 'ironic' }>): string {
  const { call, result, reason, nextSeconds } = event
  if (result === 'answered') return `Ironic answers (${call})`
  const again = nextSeconds === null ? '' : `; again in ${nextSeconds} s`
  return `Ironic: ${call} failed: ${reason ?? 'no answer'}${again}`
}

function withRemedy(text: string, type: string): string {
  const remedy = remedyOf(type)
  // what to do is at the end of the line, however long the reason is
  return remedy === undefined ? text : `${fitted(text, MAX_REASON_CHARS)} > ${remedy}`
}

function asciiOf(text: string): string {
  const ascii = printable(text)
    .replaceAll(/[^\x20-\x7E]/g, '?')
    .trim()
  return ascii.length <= MAX_CHARS ? ascii : `${ascii.slice(0, MAX_CHARS - 3)}...`
}
