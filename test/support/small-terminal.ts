// SPDX-License-Identifier: Apache-2.0
// Owns a terminal that is as clever as it has to be: it wraps, goes back to the start of a line and up, and erases.
// What it shows is what a person would see; an escape code it does not know is an error.
import type { OutputStream } from '../../agent/system/process.ts'

export interface SmallTerminal extends OutputStream {
  columns: number
  /** The lines from the first to the one that the cursor is on, without blanks at their ends. */
  lines(): string[]
}

const ESCAPE = '\u001B'

export function createSmallTerminal(columns = 80): SmallTerminal {
  const rows: string[][] = [[]]
  let [row, column] = [0, 0]
  const put = (letter: string) => {
    if (column === terminal.columns) newLine()
    const line = rows[row] as string[]
    while (line.length < column) line.push(' ')
    line[column++] = letter
  }
  const newLine = () => {
    row++
    column = 0
    if (rows[row] === undefined) rows[row] = []
  }
  const control: Readonly<Record<string, () => void>> = {
    '\r': () => {
      column = 0
    },
    '\n': newLine,
    '\u001B[K': () => void (rows[row] as string[]).splice(column),
    '\u001B[J': () => {
      rows.splice(row + 1)
      ;(rows[row] as string[]).splice(column)
    },
    '\u001B[H': () => {
      row = 0
      column = 0
    },
    '\u001B[1A': () => {
      row = Math.max(0, row - 1)
    },
  }
  const take = (part: string) => {
    const act = control[part]
    if (act) return act()
    // colours, and whether the cursor shows
    if (part.length > 1 && /^.\[(?:\?\d+[lh]|[\d;]*m)$/.test(part)) return
    if (part.length > 1 || part < ' ') throw new Error(`not known here: ${JSON.stringify(part)}`)
    put(part)
  }
  const terminal: SmallTerminal = {
    isTTY: true,
    columns,
    write: (text) => {
      for (let at = 0; at < text.length; ) {
        const rest = text.slice(at)
        const code = /^.\[[\d;?]*[A-Za-z]/.exec(rest)?.[0]
        const part = rest.startsWith(ESCAPE) && code !== undefined ? code : (rest[0] as string)
        at += part.length
        take(part)
      }
    },
    lines: () => rows.map((line) => line.join('').trimEnd()),
  }
  return terminal
}
