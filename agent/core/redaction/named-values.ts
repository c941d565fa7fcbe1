// SPDX-License-Identifier: Apache-2.0
// Owns striking out values that stand behind a secret name in a text: queries, headers, JSON (also
// escaped), INI, YAML, and their percent-encoded forms. Does not know which names are secret, nor flags that
// have no separator (flags.ts).
// One pass from separator to separator; what lies before a separator is looked at over a bounded length,
// and each value once, so that the work grows with the length of the text.
import { authorizationParts, cookieParts } from './headers.ts'
import {
  comparableName,
  isSecretKey,
  isSecretName,
  isSecretParameter,
  MAX_NAME_CHARS,
  secretHeaderOf,
} from './secret-names.ts'
import { matchFrom, type Part, slashesBefore, startOfRun, strike } from './strike.ts'
import { balancedEnd, quotedValue, wordEnd } from './values.ts'

/** `=` and `:` as they are, percent-encoded any number of times, or escaped by a JSON encoder for HTML. */
const SEPARATOR = /=>?|:(?!\/\/)|%(?:25)*3[AD]|\\u003d/gi
const BLANK = /[ \t]/
const MAX_BLANKS = 4
/** Values that hold nothing, among them what is struck out already. */
const EMPTY = /^(?:\**|null|none|true|false|undefined)$/i

/** Every value behind a secret name, struck out. */
export function strikeNamedValues(text: string): string {
  const parts: Part[] = []
  let doneTo = 0
  for (const { index, 0: separator } of text.matchAll(SEPARATOR)) {
    if (index < doneTo) continue
    const name = nameBefore(text, index, doneTo)
    // no name holds a separator
    doneTo = index + separator.length
    const found = name && valueParts(text, doneTo, name, separator)
    if (!found) continue
    parts.push(
      ...found.parts.filter(
        ({ start, end }) => !EMPTY.test(text.slice(start, Math.min(end, start + 64))),
      ),
    )
    doneTo = found.end
  }
  return strike(text, parts)
}

interface Name {
  /** As comparableName makes it. */
  readonly name: string
  /** In quotes, as a key of JSON is. */
  readonly isQuoted: boolean
  readonly isInQuery: boolean
  /** The end of a path: `/etc/passwd: no such file`. */
  readonly isInPath: boolean
  /** The quote around the whole `name: value`, as in curl's -H '…'. */
  readonly quoteBefore: string
}

const NAME_CHAR = /[\w.%$[\]-]/

/** The name that ends before `at`, and what is around it. */
function nameBefore(text: string, at: number, notBefore: number): Name | undefined {
  let end = startOfRun(text, at, BLANK, { notBefore, max: MAX_BLANKS })
  const isQuoted = end > notBefore && /["']/.test(text[end - 1] as string)
  if (isQuoted) end -= 1 + slashesBefore(text, end - 1, notBefore)
  const start = startOfRun(text, end, NAME_CHAR, { notBefore, max: MAX_NAME_CHARS })
  if (start === end) return undefined
  const before = text[start - 1] ?? ''
  const words = decoded(text.slice(start, end), before).replace(/\]$/, '')
  const tailStart = startOfRun(words, words.length, /[\w-]/)
  const tail = words.slice(tailStart)
  const lastBefore = words[tailStart - 1] ?? before
  return {
    name: comparableName(tail),
    isQuoted,
    isInQuery: /[?&;#]/.test(lastBefore) || (tail === 'token' && /^\s?$/.test(lastBefore)),
    isInPath: lastBefore === '/',
    quoteBefore: /["']/.test(before) && !isQuoted ? before : '',
  }
}

/** Percent-encoding undone, however often it was done; `\u0026` is `&`, and `\n` begins a line of a text in JSON. */
function decoded(raw: string, before: string): string {
  const text =
    before === '\\'
      ? raw.replace(/^u00(26|3f)/i, '&').replace(/^[nrt](?=(?:set-)?cookie$)/i, '')
      : raw
  return text.replaceAll(/%(?:25)*([2-7][0-9a-f])/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
}

/** What of the value is secret, and where the value ends. */
interface Value {
  readonly parts: readonly Part[]
  readonly end: number
}

function valueParts(text: string, from: number, name: Name, separator: string): Value | undefined {
  if (!isSecretHere(name, separator)) return undefined
  const start = valueStart(text, from)
  if (isPath(name, separator) && (start === from || !holdsSecret(text, start))) return undefined
  // a line that ends after the separator is a heading
  if (!name.isQuoted && /\n|\\/.test(text.slice(from, start))) return undefined
  const quoted = quotedValue(text, start)
  if (quoted) return { parts: [quoted], end: quoted.end }
  if (name.isQuoted && /[{[]/.test(text[start] ?? '')) {
    const end = balancedEnd(text, start)
    return { parts: [{ start, end }], end }
  }
  const header = secretHeaderOf(name.name)
  if (header === 'authorization') return authorizationParts(text, start, name.quoteBefore)
  if (header === 'cookie') return cookieParts(text, start)
  const end = wordEnd(text, start, wordEndOf(name, separator))
  if (start === end) return undefined
  const quotedEnd = quotedInWordEnd(text, end)
  return { parts: [{ start, end: quotedEnd }], end: quotedEnd }
}

const SEPARATOR_AT_END = /(?:[=:]|%(?:25)*3[AD])$/i
const MAX_SEPARATOR_CHARS = 12

/** Where `abc;agent_token="…"` is one word, what is quoted in it belongs to it: its name has been passed. */
function quotedInWordEnd(text: string, end: number): number {
  const at = text[end] === ':' ? end + 1 : end
  const before = text.slice(Math.max(0, at - MAX_SEPARATOR_CHARS), at)
  return (SEPARATOR_AT_END.test(before) && quotedValue(text, at)?.end) || end
}

function isSecretHere({ name, isQuoted, isInQuery }: Name, separator: string): boolean {
  if (isQuoted) return isSecretKey(name)
  // "Secret: no flag" is a sentence
  if (name === 'secret' && separator === ':') return false
  if (secretHeaderOf(name) !== undefined || isSecretName(name)) return true
  return isInQuery && separator !== ':' && isSecretParameter(name)
}

function isPath({ isInPath, isQuoted }: Name, separator: string): boolean {
  return isInPath && !isQuoted && separator === ':'
}

/** What `/etc/passwd: no such file` has nothing of: figures, capitals in a word, signs of a password. */
const SECRET_WORD = /\d|[a-z][A-Z]|[!#$%&*+=?@^~]/
const LOOK_AHEAD_CHARS = 256
/** A scheme, and what may stand between it and the secret. */
const LOOK_AHEAD_WORDS = 3

/** Behind a path a value is told from a sentence by its shape alone. */
function holdsSecret(text: string, start: number): boolean {
  const words = text.slice(start, start + LOOK_AHEAD_CHARS).split(/[\s"'`\\]+/, LOOK_AHEAD_WORDS)
  return words.some((word) => word.length >= 24 || (word.length >= 6 && SECRET_WORD.test(word)))
}

/** Blanks and one line end, also as JSON escapes them. */
const GAP = /[ \t]{0,4}(?:(?:\n|\\+n)[ \t]{0,64})?/y

function valueStart(text: string, from: number): number {
  return from + (matchFrom(text, GAP, from)?.[0].length ?? 0)
}

const WORD_END_IN_JSON = /[\s"'`<>&,}\]]|\\+["'n]/g
const WORD_END_ENCODED = /[\s"'`<>&]|%(?:25)*(?:2[0236]|3B|0A|0D)/gi

function wordEndOf({ isQuoted }: Name, separator: string): RegExp | undefined {
  if (separator.startsWith('%')) return WORD_END_ENCODED
  return isQuoted ? WORD_END_IN_JSON : undefined
}
