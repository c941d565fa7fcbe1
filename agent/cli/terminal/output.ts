// SPDX-License-Identifier: Apache-2.0
// Owns the two outputs of a command as one sheet: lines that stay, and below them one that is written over. Knows
// no progress and no warnings, only text.
import { oneLine } from '../../core/cut-text.ts'
import type { OutputStream } from '../../system/process.ts'

export interface Sheet {
  /** True: escape codes, and a line that is written over. */
  readonly isTerminal: boolean
  /** Characters that a line may have; it changes with the window. */
  readonly columns: number
  /** A line that stays, of printable characters. Of a `kind` that the last line had: in its place, or elsewhere than on a terminal seldom. */
  line(to: 'stdout' | 'stderr', text: string, kind?: string): void
  /** What is written over; shorter than `columns`. Nothing elsewhere than on a terminal. */
  live(text: string): void
  /** Leaves what is live where it is, the cursor behind it on a fresh line. */
  close(): void
}

export interface SheetOptions {
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  /** Where it is live; nowhere if that is no terminal. */
  readonly liveOn: 'stdout' | 'stderr'
  /** Milliseconds that only go forward. */
  readonly now: () => number
}

const ERASE_LINE = '\r\u001B[K'
const UP_AND_ERASE = '\u001B[1A\r\u001B[K'
/** Elsewhere than on a terminal: between lines of one kind, ms. */
const SELDOM_MS = 10_000

export function createSheet(options: SheetOptions): Sheet {
  return options[options.liveOn].isTTY === true ? createLiveSheet(options) : createLog(options)
}

function createLiveSheet(options: SheetOptions): Sheet {
  const screen = options[options.liveOn]
  let shown: string | undefined
  let last: { readonly kind: string; readonly rows: number } | undefined
  const columns = () => screen.columns ?? 80
  const erase = (rows: number) => {
    if (shown !== undefined) screen.write(ERASE_LINE)
    screen.write(UP_AND_ERASE.repeat(rows))
  }
  return {
    isTerminal: true,
    get columns() {
      return columns()
    },
    line: (to, given, kind) => {
      const stream = options[to]
      const text = oneLine(given)
      // the other output is a file or pipe: nothing on this screen is in its way
      if (stream.isTTY !== true) return void stream.write(`${text}\n`)
      erase(kind !== undefined && kind === last?.kind ? last.rows : 0)
      stream.write(`${text}\n`)
      last =
        kind === undefined ? undefined : { kind, rows: Math.ceil(text.length / columns()) || 1 }
      if (shown !== undefined) screen.write(shown)
    },
    live: (text) => {
      screen.write(`${shown === undefined ? '' : ERASE_LINE}${oneLine(text)}`)
      shown = oneLine(text)
    },
    close: () => {
      if (shown !== undefined) screen.write('\n')
      shown = undefined
      last = undefined
    },
  }
}

function createLog(options: SheetOptions): Sheet {
  const lastAt = new Map<string, number>()
  return {
    isTerminal: false,
    columns: 80,
    line: (to, text, kind) => {
      const at = options.now()
      const before = kind === undefined ? undefined : lastAt.get(kind)
      if (before !== undefined && at - before < SELDOM_MS) return
      // kinds are few: urls of an image, steps of a write
      if (kind !== undefined) lastAt.set(kind, at)
      options[to].write(`${oneLine(text)}\n`)
    },
    live: () => undefined,
    close: () => undefined,
  }
}
