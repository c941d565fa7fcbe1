// SPDX-License-Identifier: Apache-2.0
// Owns how a run looks as one line of a table. Does not measure.
import type { RunFigures } from './run.ts'

/** From here on the cores, not the network, set the pace; such a run says little. */
const BUSY = 0.9

const COLUMNS = [
  ['N', 3],
  ['program', 13],
  ['bound s', 8],
  ['last ÷', 7],
  ['median', 7],
  ['spread', 7],
  ['origin×', 8],
  ['recv×', 6],
  ['dup %', 6],
  ['rexmit', 6],
  ['CPU s', 6],
  ['RSS MiB', 8],
  ['busy', 6],
] as const

export const HEADER = COLUMNS.map(([name, width]) => name.padStart(width)).join(' ')

/** Times are in multiples of the fluid bound; spread is (last − first) ÷ last. */
export function formatRow(run: RunFigures): string {
  const { seconds, boundSeconds, nodeCount } = run
  const last = seconds.at(-1) ?? Number.NaN
  const median = seconds[Math.floor(seconds.length / 2)] ?? Number.NaN
  const isCut = seconds.length < nodeCount
  const cells = [
    `${nodeCount}`,
    run.program,
    boundSeconds.toFixed(2),
    isCut ? `${seconds.length}/${nodeCount}!` : (last / boundSeconds).toFixed(2),
    (median / boundSeconds).toFixed(2),
    `${(((last - (seconds[0] ?? 0)) / last) * 100).toFixed(0)} %`,
    run.originCopies.toFixed(2),
    run.received.toFixed(2),
    run.duplicates === undefined ? '-' : (run.duplicates * 100).toFixed(1),
    `${(run.retransmitted * 100).toFixed(1)} %`,
    run.cpuSeconds.toFixed(1),
    (run.peakRssBytes / 2 ** 20).toFixed(0),
    `${(run.busyShare * 100).toFixed(0)} %${run.busyShare > BUSY ? '*' : ''}`,
  ]
  const line = cells.map((cell, index) => cell.padStart(COLUMNS[index]?.[1] ?? 0)).join(' ')
  return run.uplinkCopies > 0 ? `${line}  uplinks ${run.uplinkCopies.toFixed(2)}×` : line
}

/** How full the cables were, in % of a node's rate, step by step: origin, then mean (min) of the nodes. */
export function formatTimeline(run: RunFigures, nodeBitsPerSecond: number): string {
  const percent = (rate: number) => ((rate * 8 * 100) / nodeBitsPerSecond).toFixed(0).padStart(4)
  const mean = (rates: readonly number[]) =>
    rates.reduce((sum, rate) => sum + rate, 0) / rates.length
  const least = (rates: readonly number[]) => Math.min(...rates)
  const lines = run.timeline.map((step) => {
    const { sentRates: sent, receivedRates: received } = step
    const of = (rates: readonly number[]) => `${percent(mean(rates))} (${percent(least(rates))})`
    return `${step.seconds.toFixed(1).padStart(7)} ${percent(step.originRate)}   ${of(sent)}   ${of(received)}`
  })
  return ['      s  origin  nodes send   receive', ...lines].join('\n')
}
