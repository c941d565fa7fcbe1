// SPDX-License-Identifier: Apache-2.0
// Owns what a person is shown of the agent, in words, made of the state that the events tell: the status page and
// the screen at the rack say the same. Does not draw.
import { type AgentState, runningProgress, stepOf } from '../../core/agent-state.ts'
import type { WireError } from '../../core/errors.ts'
import type { Link, Phase, Progress, SyncingArray } from '../../core/events.ts'
import { formatAmount, formatBytes, formatDuration, formatPace } from '../../core/units.ts'
import { titleOf } from '../console.ts'
import { remedyOf } from './remedies.ts'

/** `working`: something is done · `well`: nothing is wrong, nothing to do · `wrong`: somebody should look */
export type Tone = 'waiting' | 'working' | 'well' | 'wrong'

export interface View {
  /** The node's name, or the machine's. */
  readonly title: string
  readonly nodeUuid: string | null
  readonly version: string
  /** `Writing the image`. */
  readonly headline: string
  readonly tone: Tone
  /** Why it waits, or for whom. */
  readonly detail: string | null
  readonly work: Work | null
  readonly ironic: {
    readonly url: string | null
    /** `answered 12 s ago`. */
    readonly words: string
    readonly isWell: boolean
    /** What to do where it is not. */
    readonly remedy: string | null
  }
  readonly trouble: Trouble | null
  readonly links: readonly Link[]
  readonly torrent: AgentState['torrent']
  readonly syncing: readonly SyncingArray[]
  readonly machine: AgentState['machine']
}

/** What runs, with figures where there are some. */
export interface Work {
  /** Null for what the agent does without one. */
  readonly command: string | null
  readonly step: { readonly n: number; readonly of: number } | null
  /** 0 to 100; null where nobody can tell. */
  readonly percent: number | null
  readonly done: string
  readonly total: string
  /** Null where none makes sense. */
  readonly rate: string | null
  readonly eta: string
  /** Null where nobody knows since when. */
  readonly elapsed: string | null
  /** Bytes of the image by where they came from; null before the first. */
  readonly bytes: Progress['bytes'] | null
  readonly peers: number
  readonly uploaded: string
}

/** The last thing that went wrong. */
export interface Trouble {
  readonly kind: 'failure' | 'warning'
  /** `ImageChecksumError`. */
  readonly type: string
  readonly text: string
  readonly remedy: string | null
  readonly ago: string
}

const PHASE_WORDS: Readonly<Record<Phase, readonly [headline: string, tone: Tone]>> = {
  starting: ['Starting', 'working'],
  'waiting for the network': ['Waiting for the network', 'waiting'],
  inspecting: ['Inspecting the machine', 'working'],
  'looking the node up': ['Waiting for Ironic', 'waiting'],
  serving: ['Waiting for a command', 'well'],
  'held up': ['Held up: reboot this machine through Ironic', 'wrong'],
  rescued: ['Rescued: this machine is left alone', 'well'],
  'locked down': ['Locked down: off its networks', 'well'],
  ending: ['Ending', 'working'],
}

/** Who stands at the rack knows neither. */
const RESCUE_LOGIN = 'user rescue may log in, with the password that Ironic was given'
/** A warning is shown for so long after it came, ms; a failure until the next command. */
const WARNING_MS = 600_000
/** One that waits for Ironic that long should be looked at, ms. */
const LONG_SILENCE_MS = 180_000

/** @param now wall clock, ms */
export function viewOf(state: AgentState, now: number): View {
  const { machine, torrent, syncing } = state
  return {
    title: machine.nodeName ?? machine.hostname ?? 'ironswarm',
    nodeUuid: machine.nodeUuid ?? null,
    version: machine.version ?? '',
    ...situation(state, now),
    work: workOf(state, now),
    ironic: ironicOf(state, now),
    trouble: troubleOf(state, now),
    links: machine.links ?? [],
    torrent,
    syncing,
    machine,
  }
}

function situation(state: AgentState, now: number): Pick<View, 'headline' | 'tone' | 'detail'> {
  const { phase, command, ironic } = state
  if (command) return { headline: capital(doing(state)), tone: 'working', detail: wordsOf(command) }
  const running = runningProgress(state)
  if (running) return { headline: capital(titleOf(running)), tone: 'working', detail: null }
  const [headline, tone] = PHASE_WORDS[phase]
  if (phase === 'serving') return atRest(state)
  if (phase === 'rescued') return { headline, tone, detail: RESCUE_LOGIN }
  if (phase === 'waiting for the network') return { headline, tone, detail: networkDetail(state) }
  if (phase === 'looking the node up' && ironic?.result === 'failed') {
    // why is said of Ironic
    return { headline, tone, detail: againWords(ironic, now) }
  }
  return { headline, tone, detail: null }
}

/** Between two commands. */
function atRest({ lastCommand, torrent, syncing }: AgentState): ReturnType<typeof situation> {
  if (lastCommand && lastCommand.status !== 'SUCCEEDED') {
    const { name, subject } = lastCommand
    const detail = subject === undefined ? null : name
    return { headline: `Failed: ${subject ?? name}`, tone: 'wrong', detail }
  }
  const detail = lastCommand ? `${lastCommand.subject ?? lastCommand.name} succeeded` : null
  if (torrent?.state === 'seeding') return { headline: 'Seeding the image', tone: 'well', detail }
  const [headline, tone] = PHASE_WORDS.serving
  return { headline: syncing.length > 0 ? `${headline}, RAID syncs` : headline, tone, detail }
}

/** `execute_deploy_step write_image`. */
export function wordsOf({ name, subject }: { name: string; subject?: string }): string {
  return subject === undefined ? name : `${name} ${subject}`
}

function againWords(
  { nextSeconds, at }: NonNullable<AgentState['ironic']>,
  now: number,
): string | null {
  if (nextSeconds === null) return null
  const left = Math.round(nextSeconds - (now - at) / 1000)
  return left > 0 ? `asked again in ${left} s` : 'asked again now'
}

/** The step of an image, else the innermost thing that has begun inside of the command. */
function doing({ command, operations }: AgentState): string {
  const progress = command?.progress
  if (progress && progress.step !== 'done') return titleOf(progress)
  const inner = operations.at(-1)?.split('/').at(-1)
  return !inner || inner === command?.name ? "Ironic's command" : inner
}

function networkDetail({ machine: { links = [] } }: AgentState): string {
  if (links.length === 0) return 'no interface yet'
  const up = links.filter(({ hasCarrier }) => hasCarrier)
  if (up.length === 0) return 'no cable has a link'
  const without = up.filter(({ addresses }) => addresses.length === 0).map(({ name }) => name)
  return without.length === 0 ? '' : `${without.join(', ')}: no address yet, asking DHCP`
}

function workOf(state: AgentState, now: number): Work | null {
  const { command } = state
  const progress = runningProgress(state)
  if (command === null && progress === null) return null
  const { done = 0, total = 0, unit = 'bytes', ratePerSecond = 0 } = progress ?? {}
  return {
    command: command?.name ?? null,
    step: stepOf(state),
    percent: progress !== null && total > 0 ? progress.percent : null,
    done: formatAmount(done, unit),
    total: formatAmount(total, unit),
    rate: formatPace(ratePerSecond, unit),
    eta: formatDuration(progress?.etaSeconds ?? undefined),
    elapsed: command === null ? null : formatDuration((now - command.startedAt) / 1000),
    bytes: progress && sumOf(progress.bytes) > 0 ? progress.bytes : null,
    peers: progress?.peers ?? 0,
    uploaded: formatBytes(progress?.uploadedBytes ?? 0),
  }
}

function sumOf({ origin, peers, file }: Progress['bytes']): number {
  return origin + peers + file
}

function ironicOf(state: AgentState, now: number): View['ironic'] {
  const { machine, ironic, ironicAnsweredAt, phase } = state
  const url = machine.ironicUrl ?? null
  if (url === null) {
    const isKnown = phase !== 'starting' && phase !== 'waiting for the network'
    const words = isKnown ? 'no URL is known' : 'not asked yet'
    return { url, words, isWell: !isKnown, remedy: null }
  }
  const remedy = (ironic?.errorType && remedyOf(ironic.errorType)) ?? null
  const failure = ironic?.result === 'failed' ? `: ${ironic.reason ?? 'no answer'}` : ''
  if (ironicAnsweredAt === null) {
    const words = ironic ? `has not answered${failure}` : 'not asked yet'
    return { url, words, isWell: !ironic, remedy }
  }
  const silentMs = now - ironicAnsweredAt
  const isWell = failure === '' || silentMs < LONG_SILENCE_MS
  return {
    url,
    words: `answered ${ago(silentMs)}${failure && `, then failed${failure}`}`,
    isWell,
    remedy: isWell ? null : remedy,
  }
}

function troubleOf(state: AgentState, now: number): Trouble | null {
  const { command, lastCommand, lastWarning } = state
  const error = command ? null : (lastCommand?.error ?? null)
  if (error && lastCommand) return troubleFrom('failure', error, now - lastCommand.endedAt)
  if (lastWarning && now - lastWarning.at < WARNING_MS) {
    return troubleFrom('warning', lastWarning.error, now - lastWarning.at, lastWarning.message)
  }
  return null
}

function troubleFrom(
  kind: Trouble['kind'],
  { type, message, details }: WireError,
  ageMs: number,
  about?: string,
): Trouble {
  const words = details === '' ? message : details
  return {
    kind,
    type,
    text: about === undefined ? words : `${about}: ${words}`,
    remedy: remedyOf(type) ?? null,
    ago: ago(ageMs),
  }
}

/** `12 s ago`, `3 min ago`, `2 h ago`. */
export function ago(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds} s ago`
  const minutes = Math.round(seconds / 60)
  return minutes < 120 ? `${minutes} min ago` : `${Math.round(minutes / 60)} h ago`
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
