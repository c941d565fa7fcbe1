// SPDX-License-Identifier: Apache-2.0
// Owns a text screen that is drawn in place (console_codes(4)): once a second while something changes, whole now and
// then, since the kernel writes to it too. Does not open it and does not know what it shows (screen.ts).
import { messageOf } from '../../core/errors.ts'
import type { LineStyle, ScreenLine } from './lines.ts'

export interface TextScreen extends Disposable {
  /** Draws at once: somebody waits for it. */
  refresh(): void
}

export interface TextScreenOptions {
  readonly write: (text: string) => unknown
  readonly render: () => readonly ScreenLine[]
  /** Shortest time between two pictures, ms; 1000 unless given. */
  readonly intervalMs?: number
}

/** What somebody else has written over is mended within this many pictures. */
const WHOLE_EVERY = 5
/** UTF-8, no cursor, no blanking. */
const BEGIN = '\u001B%G\u001B[?25l\u001B[9;0]\u001B[2J'
const END = '\u001B[0m\u001B[?25h\r\n'
const STYLES: Readonly<Record<LineStyle, string>> = {
  plain: '0',
  bar: '0;7',
  bold: '0;1',
  wrong: '0;1;31',
  wait: '0;1;33',
  soft: '0;36',
}

/** Until disposed of; the last picture stays, with the cursor below it. */
export function openTextScreen(options: TextScreenOptions): TextScreen {
  const { write, render, intervalMs = 1000 } = options
  let shown: readonly ScreenLine[] = []
  let pictures = 0
  const draw = () => {
    const lines = linesOf(render)
    const isWhole = pictures % WHOLE_EVERY === 0
    pictures += 1
    const text = lines.flatMap((each, row) => {
      const before = shown[row]
      const isSame = before?.text === each.text && before.style === each.style
      return isSame && !isWhole ? [] : [drawnLine(row, each)]
    })
    shown = lines
    if (text.length > 0) write(text.join(''))
  }
  write(BEGIN)
  draw()
  const timer = setInterval(draw, intervalMs)
  timer.unref()
  let isEnded = false
  return {
    refresh: draw,
    [Symbol.dispose]: () => {
      if (isEnded) return
      isEnded = true
      clearInterval(timer)
      pictures = 0
      draw()
      write(`\u001B[${shown.length};1H${END}`)
    },
  }
}

/** What cannot be shown is no reason to end what is done. */
function linesOf(render: TextScreenOptions['render']): readonly ScreenLine[] {
  try {
    return render()
  } catch (error) {
    return [{ text: ` nothing can be shown: ${messageOf(error)}`.slice(0, 80), style: 'wrong' }]
  }
}

/** Erased first: behind a full line the cursor stands on its last character, and would erase that. */
function drawnLine(row: number, { text, style }: ScreenLine): string {
  return `\u001B[${row + 1};1H\u001B[0m\u001B[K\u001B[${STYLES[style]}m${text}\u001B[0m`
}
