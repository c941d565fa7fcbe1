// SPDX-License-Identifier: Apache-2.0
// Owns how a grub.cfg falls into words (GRUB manual, "Shell-like scripting"): quotes, escapes, variables, comments. Does
// not know commands, and gives no variable its value.
import { notUnderstood } from '../boot-entry.ts'

/** A piece of a word: text as it stands, or a variable. What is quoted is not split at white space. */
export interface WordPart {
  readonly kind: 'text' | 'variable'
  /** The text, or the variable's name. */
  readonly text: string
  readonly isQuoted: boolean
}

export type Word = readonly WordPart[]

/** `end`: of a command, by a line's end or a semicolon. */
export type Token =
  | { readonly kind: 'word'; readonly line: number; readonly word: Word }
  | { readonly kind: 'end' | 'open' | 'close'; readonly line: number }

/** A menu of a hundred kernels has a tenth of it. */
const MOST_TOKENS = 100_000
const PLAIN = /[^\s"'\\$#{}|&;<>]+/y
const VARIABLE = /\$(?:\{([^}\n]{1,64})\}|([A-Za-z_]\w{0,63}|[0-9]|[?#@*]))/y
const BLANK = /[ \t\r]+/y
const COMMENT = /#[^\n]*/y
const SINGLE = /'([^']*)'/y
const DOUBLE_PLAIN = /[^"\\$]+/y
/** What a backslash takes its meaning from between double quotes; elsewhere there it stands for itself. */
const ESCAPED_IN_DOUBLE = '$"\\\n'

/** Throws InvalidImage for text that is none of this language, with the line. */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = []
  const reader = createReader(text)
  while (!reader.isAtEnd()) {
    if (tokens.length > MOST_TOKENS) throw notUnderstood(reader.line(), 'the menu is too long')
    if (reader.take(BLANK) || reader.take(COMMENT) || reader.takeText('\\\n')) continue
    const line = reader.line()
    if (reader.takeText('\n') || reader.takeText(';')) tokens.push({ kind: 'end', line })
    else if (reader.takeText('{')) tokens.push({ kind: 'open', line })
    else if (reader.takeText('}')) tokens.push({ kind: 'close', line })
    else tokens.push({ kind: 'word', line, word: readWord(reader) })
  }
  return tokens
}

interface Reader {
  isAtEnd(): boolean
  /** 1-based. */
  line(): number
  /** What the sticky expression matches here. */
  take(pattern: RegExp): RegExpExecArray | null
  takeText(text: string): boolean
  /** One character, whatever it is. */
  takeAny(): string
}

function createReader(text: string): Reader {
  let at = 0
  let line = 1
  const pass = (passed: string) => {
    at += passed.length
    for (const character of passed) if (character === '\n') line++
  }
  return {
    isAtEnd: () => at >= text.length,
    line: () => line,
    take: (pattern) => {
      pattern.lastIndex = at
      const match = pattern.exec(text)
      if (match) pass(match[0])
      return match
    },
    takeText: (wanted) => {
      if (!text.startsWith(wanted, at)) return false
      pass(wanted)
      return true
    },
    takeAny: () => {
      const character = text[at] ?? ''
      pass(character)
      return character
    },
  }
}

function readWord(reader: Reader): Word {
  const parts: WordPart[] = []
  while (!reader.isAtEnd() && readPart(reader, parts));
  if (parts.length === 0) {
    throw notUnderstood(reader.line(), `"${reader.takeAny()}" has no meaning here`)
  }
  return parts
}

/** False where the word ends. */
function readPart(reader: Reader, parts: WordPart[]): boolean {
  const add = (text: string, isQuoted: boolean) => parts.push({ kind: 'text', text, isQuoted })
  const plain = reader.take(PLAIN)
  if (plain) add(plain[0], false)
  // in the middle of a word it is no comment
  else if (parts.length > 0 && reader.takeText('#')) add('#', false)
  else if (reader.takeText('\\\n')) return true
  else if (reader.takeText('\\')) add(reader.takeAny(), true)
  else if (reader.takeText('"')) readDouble(reader, parts)
  else return readSingle(reader, add) || readVariable(reader, parts, false)
  return true
}

function readSingle(reader: Reader, add: (text: string, isQuoted: boolean) => void): boolean {
  const single = reader.take(SINGLE)
  if (single) add(single[1] ?? '', true)
  return single !== null
}

function readVariable(reader: Reader, parts: WordPart[], isQuoted: boolean): boolean {
  const variable = reader.take(VARIABLE)
  if (!variable) return false
  parts.push({ kind: 'variable', text: variable[1] ?? variable[2] ?? '', isQuoted })
  return true
}

function readDouble(reader: Reader, parts: WordPart[]): void {
  const began = reader.line()
  // "" is a word of its own
  parts.push({ kind: 'text', text: '', isQuoted: true })
  const add = (text: string) => parts.push({ kind: 'text', text, isQuoted: true })
  while (!reader.isAtEnd()) {
    if (reader.takeText('"')) return
    const plain = reader.take(DOUBLE_PLAIN)
    if (plain) add(plain[0])
    else if (reader.takeText('\\')) add(afterBackslash(reader.takeAny()))
    else if (!readVariable(reader, parts, true)) add(reader.takeAny())
  }
  throw notUnderstood(began, 'a quote is not closed')
}

function afterBackslash(character: string): string {
  if (character === '\n') return ''
  return ESCAPED_IN_DOUBLE.includes(character) ? character : `\\${character}`
}
