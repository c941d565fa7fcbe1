// SPDX-License-Identifier: Apache-2.0
// Owns the text of a progress line: what is said first, and what is left out where the terminal is narrow.
// Pure. Does not write it; screen.ts does.
import type { Progress } from '../../core/events.ts'
import { formatAmount, formatBytes, formatDuration, formatPace } from '../../core/units.ts'
import { titleOf } from '../../telemetry/console.ts'

/** Which step of how many. */
export interface StepNumber {
  readonly n: number
  readonly of: number
}

const LONGEST_BAR = 30
const SHORTEST_BAR = 8

/**
 * One line of less than `columns` characters, without escape codes: `2/4 reading back [####----] 48.8% …`. Where
 * there is no room, first peers and amounts are left out, then the bar, then the rate.
 */
export function progressLine(
  progress: Progress,
  { step, columns }: { readonly step: StepNumber | undefined; readonly columns: number },
): string {
  const room = Math.max(10, columns - 1)
  const title = `${step ? `${step.n}/${step.of} ` : ''}${titleOf(progress)}`
  const { percent, rate, eta, amount, peers } = figures(progress)
  if (percent === undefined) return cut([title, ...(amount ? [amount] : [])].join(' '), room)
  const rest = [
    [percent, amount, rate, eta, peers],
    [percent, amount, rate, eta],
    [percent, rate, eta],
    [percent, eta],
    [percent],
  ].map((parts) => parts.filter((part) => part !== undefined).join(' '))
  const withBar = rest
    .slice(0, 4)
    .find((text) => title.length + text.length + SHORTEST_BAR + 4 <= room)
  if (withBar !== undefined) {
    const width = Math.min(LONGEST_BAR, room - title.length - withBar.length - 4)
    return `${title} ${bar(progress.percent, width)} ${withBar}`
  }
  const fitting = rest.find((text) => title.length + 1 + text.length <= room) ?? rest.at(-1)
  return cut(`${title} ${fitting}`, room)
}

/** A whole line for where nothing is written over: `step 2 of 4: reading back 48.8% 1.0 GiB/2.0 GiB …`. */
export function plainProgress(progress: Progress, step: StepNumber | undefined): string {
  const { percent, rate, eta, amount, peers } = figures(progress)
  const parts = [titleOf(progress), percent, amount, rate, eta, peers].filter(
    (part) => part !== undefined,
  )
  return `${step ? `step ${step.n} of ${step.of}: ` : ''}${parts.join(' ')}`
}

function figures(progress: Progress) {
  const { unit, done, total, percent, ratePerSecond, etaSeconds } = progress
  if (total === 0) return {}
  if (done === 0) return { amount: formatAmount(total, unit) }
  const isRunning = percent < 100
  return {
    percent: `${percent.toFixed(1)}%`,
    amount: `${formatAmount(done, unit)}/${formatAmount(total, unit)}`,
    rate: isRunning ? (formatPace(ratePerSecond, unit) ?? undefined) : undefined,
    eta: isRunning ? `ETA ${formatDuration(etaSeconds ?? undefined)}` : undefined,
    peers: progress.step === 'fetch' ? sourcesOf(progress) : undefined,
  }
}

/** `(3 peers: 1.2 GiB, origin: 10.0 MiB)`; nothing where all comes from one place anyway. */
function sourcesOf({ peers, bytes, source }: Progress): string | undefined {
  if (source !== 'swarm') return undefined
  return `(${peers} ${peers === 1 ? 'peer' : 'peers'}: ${formatBytes(bytes.peers)}, origin: ${formatBytes(bytes.origin)})`
}

function bar(percent: number, width: number): string {
  const filled = Math.floor((Math.min(percent, 100) / 100) * width)
  return `[${'#'.repeat(filled)}${'-'.repeat(width - filled)}]`
}

function cut(text: string, room: number): string {
  return text.length <= room ? text : `${text.slice(0, room - 1)}~`
}
