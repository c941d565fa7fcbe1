// SPDX-License-Identifier: Apache-2.0
// Owns what a Markdown page consists of, as far as names stand in it: code spans, lines of code blocks,
// links, headings. Does not know what a name must lead to; named.ts does.

export interface Mark {
  readonly text: string
  readonly line: number
}

export interface Document {
  /** From the project's root. */
  readonly path: string
  readonly text: string
  /** What stands between backticks, outside of code blocks. */
  readonly spans: readonly Mark[]
  /** Lines of fenced and indented code blocks; a line that ends with a backslash with those it goes on in. */
  readonly code: readonly Mark[]
  /** Targets of links, as they are written. */
  readonly links: readonly Mark[]
  readonly headings: readonly Mark[]
}

export function readDocument(path: string, text: string): Document {
  const prose: Mark[] = []
  const code: Mark[] = []
  let isFenced = false
  let isContinued = false
  for (const [at, row] of text.split('\n').entries()) {
    const mark = { text: row, line: at + 1 }
    const isFence = /^\s*```/.test(row)
    if (isFence) isFenced = !isFenced
    else if (!isFenced && !/^ {4}\S/.test(row)) prose.push(mark)
    else if (isContinued) joinTo(code, row)
    else code.push({ ...mark, text: row.trim() })
    isContinued = !isFence && row.endsWith('\\') && code.at(-1) !== undefined
  }
  return {
    path,
    text,
    code,
    spans: prose.flatMap((row) => marksOf(row, /`([^`]+)`/g)),
    links: prose.flatMap((row) => marksOf(row, /\]\(([^)\s]+)\)/g)),
    headings: prose.flatMap((row) => marksOf(row, /^#+ (.*)/g)),
  }
}

function joinTo(code: Mark[], row: string): void {
  const before = code.pop()
  if (before !== undefined)
    code.push({ ...before, text: `${before.text.slice(0, -1)}${row.trim()}` })
}

function marksOf(row: Mark, pattern: RegExp): Mark[] {
  return [...row.text.matchAll(pattern)].map((match) => ({ text: match[1] ?? '', line: row.line }))
}

/** The anchor that a heading gets on the web. */
export function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_ -]/gu, '')
    .trim()
    .replaceAll(' ', '-')
}
