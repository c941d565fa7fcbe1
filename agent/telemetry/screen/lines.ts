// SPDX-License-Identifier: Apache-2.0
// Owns lines of a screen of fixed width: wrapped between words, cut, filled. Knows neither terminals nor the agent.

/** `bar` is reversed, `wrong` red, `wait` yellow, `soft` dim. */
export type LineStyle = 'plain' | 'bar' | 'bold' | 'wrong' | 'wait' | 'soft'

export interface ScreenLine {
  /** At most as long as the screen is wide; printable characters only. */
  readonly text: string
  readonly style: LineStyle
}

export function line(text: string, columns: number, style: LineStyle = 'plain'): ScreenLine {
  return { text: fitted(text, columns), style }
}

/**
 * A text of anybody as characters that the kernel's font has and that are one column wide: what a terminal would take
 * for an order is a blank.
 */
export function printable(text: string): string {
  return text
    .replaceAll('…', '...')
    .replaceAll(/[–—]/g, '-')
    .replaceAll(/[\p{C}\p{Z}]/gu, ' ')
    .replaceAll(/[^ -~¡-¬®-ÿ─█░]/gu, '?')
}

/** Cut where it is too long, and so that one sees it. */
export function fitted(text: string, columns: number): string {
  const plain = printable(text).trimEnd()
  return plain.length <= columns ? plain : `${plain.slice(0, Math.max(0, columns - 3))}...`
}

/** Both at the edges where there is room for both, else the left one alone. */
export function edges(left: string, right: string, columns: number): string {
  const room = columns - right.length - 1
  if (right === '' || room < Math.min(left.length, 8)) return fitted(left, columns)
  return `${fitted(left, room).padEnd(room)} ${right}`
}

/** At most `most` lines; the last one is cut. */
export function wrapped(text: string, columns: number, most: number): string[] {
  const lines: string[] = []
  let rest = printable(text).replaceAll(/ +/g, ' ').trim()
  while (rest !== '' && lines.length < most) {
    if (rest.length <= columns || lines.length === most - 1) {
      lines.push(fitted(rest, columns))
      break
    }
    const blank = rest.lastIndexOf(' ', columns)
    const at = blank > columns / 2 ? blank : columns
    lines.push(rest.slice(0, at).trimEnd())
    rest = rest.slice(at).trimStart()
  }
  return lines
}

/** What fits into each line, apart by two blanks or more: a table without columns. */
export function flowed(words: readonly string[], columns: number): string[] {
  const lines: string[] = []
  for (const word of words.filter((each) => each !== '')) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 3 + word.length <= columns) {
      lines[lines.length - 1] = `${last}   ${word}`
    } else {
      lines.push(fitted(word, columns))
    }
  }
  return lines
}
