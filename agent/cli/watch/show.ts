// SPDX-License-Identifier: Apache-2.0
// Owns how a watch is shown: a screen that is drawn over, plain lines of what has changed, or JSON. Does not ask
// anybody and does not lay lines out (table.ts).
import type { OutputStream } from '../../system/process.ts'
import { afterKeys, INITIAL_VIEW, type Keyboard, listen, type WatchView } from './keys.ts'
import { ASKING, type NodeRow } from './node-row.ts'
import { detailLines, plainLine, type SortKey, shownRows, summary, tableLines } from './table.ts'

/** What there is to see. */
export interface Watched {
  readonly rows: readonly NodeRow[]
  /** What is wrong with the list itself; null: nothing. */
  readonly notice: string | null
}

export interface Show extends Disposable {
  draw(watched: Watched): void
  /** Resolves when somebody has pressed q. */
  readonly isOver: Promise<void>
}

export interface ShowOptions {
  readonly stdout: OutputStream & { readonly rows?: number }
  readonly keyboard: Keyboard | undefined
  readonly sort: SortKey
  readonly filter: string
  /** Wall clock, ms. */
  readonly now: () => number
}

const SCREEN_ON = '\u001B[?1049h\u001B[?25l'
const SCREEN_OFF = '\u001B[?25h\u001B[?1049l'
const HOME = '\u001B[H'
const ERASE_LINE = '\u001B[K'
const ERASE_BELOW = '\u001B[J'

/** On a terminal: all of it, until disposed of; then it is as it was. */
export function createScreenShow({ stdout, keyboard, sort, filter, now }: ShowOptions): Show {
  const over = Promise.withResolvers<void>()
  let view: WatchView = { ...INITIAL_VIEW, sort, filter }
  let last: Watched = { rows: [], notice: null }
  const draw = () => {
    const size = { columns: stdout.columns ?? 80, rows: stdout.rows ?? 24 }
    const shown = shownRows(last.rows, view)
    const row = shown[Math.min(view.selected, shown.length - 1)]
    const notice = view.isTyping
      ? `filter: ${view.filter}_   Enter keeps it, Esc clears it`
      : last.notice
    const lines =
      view.isDetail && row
        ? detailLines(row, size, now())
        : tableLines(last.rows, view, size, notice)
    const text = lines.map((line) => `${line}${ERASE_LINE}`).join('\r\n')
    stdout.write(`${HOME}${text}${ERASE_BELOW}`)
  }
  const onKeys = (typed: string) => {
    view = afterKeys(view, typed, shownRows(last.rows, view).length)
    if (view.isOver) over.resolve()
    else draw()
  }
  const listening = keyboard?.isTTY ? listen(keyboard, onKeys) : undefined
  stdout.write(SCREEN_ON)
  return {
    draw: (watched) => {
      last = watched
      draw()
    },
    isOver: over.promise,
    [Symbol.dispose]: () => {
      listening?.[Symbol.dispose]()
      stdout.write(SCREEN_OFF)
      stdout.write(`${summary(last.rows)}\n`)
    },
  }
}

/** Between two lines that say how all of it stands. */
const SUMMARY_MS = 10_000

/** Elsewhere: a line for each node whose state has changed, and now and then one for all of them. */
export function createLineShow({ stdout, sort, filter, now }: ShowOptions): Show {
  const view = { ...INITIAL_VIEW, sort, filter }
  let states = new Map<string, string>()
  let summedAt = Number.NEGATIVE_INFINITY
  let told: string | null = null
  return {
    draw: ({ rows, notice }) => {
      const stamp = new Date(now()).toISOString().slice(11, 19)
      if (notice !== null && notice !== told) stdout.write(`${stamp} ${notice}\n`)
      told = notice
      const shown = shownRows(rows, view)
      for (const row of shown) {
        if (states.get(row.id) !== row.state && row.state !== ASKING)
          stdout.write(`${stamp} ${plainLine(row)}\n`)
      }
      // those that are gone are forgotten
      states = new Map(shown.map(({ id, state }) => [id, state]))
      if (now() - summedAt < SUMMARY_MS) return
      summedAt = now()
      stdout.write(`${stamp} ${summary(shown)}\n`)
    },
    isOver: new Promise(() => undefined),
    [Symbol.dispose]: () => undefined,
  }
}

/** One object a line: everything that is known, each time. */
export function createJsonShow({ stdout, sort, filter, now }: ShowOptions): Show {
  const view = { ...INITIAL_VIEW, sort, filter }
  return {
    draw: ({ rows, notice }) => {
      const object = { at: now(), notice, nodes: shownRows(rows, view) }
      stdout.write(`${JSON.stringify(object)}\n`)
    },
    isOver: new Promise(() => undefined),
    [Symbol.dispose]: () => undefined,
  }
}
