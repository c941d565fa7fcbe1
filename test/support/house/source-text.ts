// SPDX-License-Identifier: Apache-2.0
// Owns telling the code of a TypeScript file from its comments, texts and regular expressions. Does not
// parse: this is enough to find imports and declarations, and needs no compiler.

export interface SourceText {
  /** As long as the file: comments, and what stands between quotes, are spaces. */
  readonly code: string
  /** What stands between quotes, by the offset of the opening quote; templates with `${}` are left out. */
  readonly texts: ReadonlyMap<number, string>
  /** By the offset of their first character. */
  readonly comments: ReadonlyMap<number, string>
}

const COMMENT = /\/\/[^\n]*|\/\*[\s\S]*?\*\//y
const QUOTED = /'(?:\\[\s\S]|[^'\\\n])*'|"(?:\\[\s\S]|[^"\\\n])*"/y
const TEMPLATE = /`(?:\\[\s\S]|\$(?!\{)|[^`\\$])*(?:`|\$\{)/y
/** From the brace that closes a `${}` on. */
const TEMPLATE_REST = /\}(?:\\[\s\S]|\$(?!\{)|[^`\\$])*(?:`|\$\{)/y
const PATTERN = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*/y
/** Behind these a `/` begins a regular expression and is no division. */
const BEFORE_PATTERN = /(?:^|[(,=:[!&|?{};+\-*%~^<>]|\b(?:return|typeof|case|in|of|await|void))$/
/** Longest word of BEFORE_PATTERN, and a character before it. */
const TAIL = 8

/** Reads one TypeScript file; JSX is not known. */
export function readSource(text: string): SourceText {
  const pieces: string[] = []
  const texts = new Map<number, string>()
  const comments = new Map<number, string>()
  // how many braces are open inside of each `${}`, innermost last
  const templates: number[] = []
  let tail = ''
  let at = 0
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    return pattern.exec(text)?.[0]
  }
  const template = (): string | undefined => {
    const isRest = templates.at(-1) === 0 && text[at] === '}'
    const piece = isRest ? take(TEMPLATE_REST) : take(TEMPLATE)
    if (piece === undefined) return undefined
    if (isRest) templates.pop()
    if (piece.endsWith('${')) templates.push(0)
    else if (!isRest) texts.set(at, piece.slice(1, -1))
    return piece
  }
  const quoted = (): string | undefined => {
    const piece = take(QUOTED)
    if (piece !== undefined) texts.set(at, piece.slice(1, -1))
    return piece
  }
  const pattern = () => (BEFORE_PATTERN.test(tail) ? take(PATTERN) : undefined)
  while (at < text.length) {
    const comment = take(COMMENT)
    if (comment !== undefined) comments.set(at, comment)
    const value = comment ?? quoted() ?? template() ?? pattern()
    const piece = value ?? text.charAt(at)
    at += piece.length
    if (value === undefined) count(templates, piece)
    pieces.push(value === undefined ? piece : blank(value, comment === undefined))
    if (comment === undefined) tail = tailAfter(tail, piece, value !== undefined)
  }
  return { code: pieces.join(''), texts, comments }
}

/** The last of the code, enough to tell a regular expression from a division. */
function tailAfter(tail: string, piece: string, isText: boolean): string {
  if (isText) return piece.endsWith('${') ? '{' : '"'
  if (!/\s/.test(piece)) return `${tail}${piece}`.slice(-TAIL)
  return /\w$/.test(tail) ? `${tail} ` : tail
}

/** Spaces as long as the piece, its line ends kept; of a text the quotes stay. */
function blank(piece: string, isText: boolean): string {
  const spaces = piece.replace(/[^\n]/g, ' ')
  if (!isText) return spaces
  return `${piece.charAt(0)}${spaces.slice(1, -1)}${piece.charAt(piece.length - 1)}`
}

function count(templates: number[], character: string): void {
  const open = templates.at(-1)
  if (open === undefined) return
  if (character === '{') templates[templates.length - 1] = open + 1
  if (character === '}') templates[templates.length - 1] = open - 1
}
