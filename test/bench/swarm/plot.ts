// SPDX-License-Identifier: Apache-2.0
// Owns the picture: last node ÷ bound and origin copies over the number of nodes, one line per program,
// logarithmic on both axes. Plain SVG, no library.
import type { RunFigures } from './run.ts'

const PANEL = { width: 420, height: 320, left: 56, right: 24, top: 40, gap: 40 }
const COLOURS: Readonly<Record<string, string>> = {
  ironswarm: '#c0392b',
  http: '#7f8c8d',
  libtorrent: '#2471a3',
  aria2: '#1e8449',
  transmission: '#b7950b',
}
const TICKS_Y = [1, 1.25, 1.5, 2, 3, 5, 8, 16, 32]

interface Point {
  readonly x: number
  readonly y: number
}

export function plotRuns(runs: readonly RunFigures[]): string {
  const width = 2 * (PANEL.left + PANEL.width) + PANEL.gap + PANEL.right
  const height = PANEL.top + PANEL.height + 60
  const last = (run: RunFigures) => (run.seconds.at(-1) ?? Number.NaN) / run.boundSeconds
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    panel(0, 'last node ÷ fluid bound', runs, last),
    panel(
      PANEL.left + PANEL.width + PANEL.gap,
      'copies sent by the origin',
      runs,
      (run) => run.originCopies,
    ),
    '</svg>\n',
  ].join('\n')
}

function panel(
  shift: number,
  title: string,
  runs: readonly RunFigures[],
  value: (run: RunFigures) => number,
): string {
  const counts = [...new Set(runs.map((run) => run.nodeCount))].sort((a, b) => a - b)
  const highest = Math.max(2, ...runs.map(value).filter(Number.isFinite))
  const maxCount = Math.max(2, ...counts)
  const x = (count: number) =>
    shift + PANEL.left + (Math.log(count) / Math.log(maxCount)) * PANEL.width
  const y = (ratio: number) =>
    PANEL.top + PANEL.height * (1 - Math.log(Math.max(ratio, 1)) / Math.log(highest))
  const grid = TICKS_Y.filter((tick) => tick <= highest).map(
    (tick) =>
      `<path d="M${x(1)} ${y(tick)}H${x(maxCount)}" stroke="#ddd"/>` +
      `<text x="${x(1) - 8}" y="${y(tick) + 4}" text-anchor="end">${tick}</text>`,
  )
  const bottom = PANEL.top + PANEL.height + 18
  const labels = counts.map(
    (count) => `<text x="${x(count)}" y="${bottom}" text-anchor="middle">${count}</text>`,
  )
  const programs = [...new Set(runs.map((run) => run.program))]
  const lines = programs.map((program, index) => {
    const colour = COLOURS[program] ?? 'black'
    const points = counts.flatMap((count): Point[] => {
      const own = runs.filter((run) => run.program === program && run.nodeCount === count)
      const values = own
        .map(value)
        .filter(Number.isFinite)
        .sort((a, b) => a - b)
      const middle = values[Math.floor(values.length / 2)]
      return middle === undefined ? [] : [{ x: x(count), y: y(middle) }]
    })
    const path = points.map((point) => `${point.x.toFixed(1)},${point.y.toFixed(1)}`).join(' ')
    const dots = points.map(
      (point) => `<circle cx="${point.x}" cy="${point.y}" r="3" fill="${colour}"/>`,
    )
    const key = shift + PANEL.left + index * 84
    return [
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
      ...dots,
      `<text x="${key}" y="${bottom + 28}" fill="${colour}">${program}</text>`,
    ].join('')
  })
  const heading = `<text x="${shift + PANEL.left}" y="${PANEL.top - 16}" font-size="14">${title}, by number of nodes</text>`
  return [heading, ...grid, ...labels, ...lines].join('\n')
}
