// SPDX-License-Identifier: Apache-2.0
// Owns what a person sees while the demo runs: a table that is redrawn in place on a terminal, one plain
// line every few seconds elsewhere. Does not ask anybody; it is handed rows.
import { formatBytes, formatDuration, formatRate } from '../../../agent/core/units.ts'
import type { NodeRow } from './node-progress.ts'

export interface DisplayFrame {
  readonly rows: readonly NodeRow[]
  readonly seconds: number
  /** Bytes out of the origin so far ÷ size of the image. */
  readonly originRatio: number
}

export interface Display {
  show(frame: DisplayFrame): void
  /** Leaves the last frame on the screen. */
  end(frame: DisplayFrame): void
}

interface Terminal {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
  write(text: string): unknown
}

const PLAIN_EVERY_SECONDS = 5
const COLUMNS = ['node', 'state', '', 'done', 'rate', 'ETA', 'from peers', 'from origin', 'peers']
const WIDTHS = [8, 14, 22, 5, 12, 6, 11, 12, 6]

/** A display for this stream: in place if it is a terminal. */
export function createDisplay(out: Terminal): Display {
  return out.isTTY ? createTable(out) : createLines(out)
}

function createTable(out: Terminal): Display {
  let drawnLines = 0
  const draw = (frame: DisplayFrame) => {
    const lines = fitted(tableLines(frame), out)
    // up to the first line of the last drawing; each line erases what is left of its old self
    const up = drawnLines > 0 ? `\u001b[${drawnLines}A` : ''
    out.write(`${up}${lines.map((line) => `${line}\u001b[K\n`).join('')}`)
    drawnLines = lines.length
  }
  return { show: draw, end: draw }
}

/** A line that wraps, or a table higher than the screen, could not be drawn over. */
function fitted(lines: readonly string[], { columns = 200, rows = 100 }: Terminal): string[] {
  const foot = lines.slice(-2)
  const room = Math.max(rows - 1, 5)
  const table = lines.length > room ? lines.slice(0, room - foot.length) : lines.slice(0, -2)
  return [...table, ...foot].map((line) => line.slice(0, columns - 1))
}

function createLines(out: Terminal): Display {
  let nextAt = 0
  const write = (frame: DisplayFrame) => out.write(`${plainLine(frame)}\n`)
  return {
    show: (frame) => {
      if (frame.seconds < nextAt) return
      nextAt = frame.seconds + PLAIN_EVERY_SECONDS
      write(frame)
    },
    end: write,
  }
}

/** Header, one line per node, and a foot with the time and what the origin had to send. */
export function tableLines({ rows, seconds, originRatio }: DisplayFrame): string[] {
  const foot = `${formatDuration(seconds)} elapsed, origin has sent ${originRatio.toFixed(2)} × the image`
  return [aligned(COLUMNS), ...rows.map((row) => aligned(cells(row))), '', foot]
}

function cells(row: NodeRow): string[] {
  const filled = Math.round((Math.min(row.percent, 100) / 100) * 20)
  return [
    row.name,
    row.state,
    `[${'#'.repeat(filled)}${'-'.repeat(20 - filled)}]`,
    `${Math.floor(row.percent)}%`,
    row.rate > 0 ? formatRate(row.rate) : '-',
    row.etaSeconds === null ? '-' : formatDuration(row.etaSeconds),
    formatBytes(row.fromPeers),
    formatBytes(row.fromOrigin),
    String(row.peers),
  ]
}

function aligned(words: readonly string[]): string {
  return words
    .map((word, i) => (i < 3 ? word.padEnd(WIDTHS[i] ?? 0) : word.padStart(WIDTHS[i] ?? 0)))
    .join(' ')
    .trimEnd()
}

/** `12 s  origin 1.04 ×  node-1 fetch 42%  node-2 …`: nothing a log file could not hold. */
export function plainLine({ rows, seconds, originRatio }: DisplayFrame): string {
  const nodes = rows.map((row) => `${row.name} ${row.state} ${Math.floor(row.percent)}%`)
  return [`${Math.round(seconds)} s`, `origin ${originRatio.toFixed(2)} ×`, ...nodes].join('  ')
}
