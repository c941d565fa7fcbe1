// SPDX-License-Identifier: Apache-2.0
// Owns how secrets are struck out of texts and values. Every log, error, event and status goes through here.
// What is secret is said in redaction/: by name, by place in a url, by shape. The work grows with the length
// of a text and no faster (docs/design/190-redaction-and-options.md).
import { cutAnywhere, cutBetweenWords } from './cut-text.ts'
import { strikeFlags } from './redaction/flags.ts'
import { strikeNamedValues } from './redaction/named-values.ts'
import { isSecretKey } from './redaction/secret-names.ts'
import { strikeShapes } from './redaction/shapes.ts'
import { REDACTED } from './redaction/strike.ts'
import { strikeUserInfo } from './redaction/user-info.ts'

export { REDACTED }

/** A url without credentials: user info, secret query values and passkeys struck out; also one that does not parse. */
export function redactUrl(url: string): string {
  return strikeEncoded(
    strikeUserInfo(strikeFlags(strikeNamedValues(strikeShapes(url))), true),
    MAX_ENCODINGS,
  )
}

/** The text without any secret that is known by its name, its place in a url, or its shape. */
export function redactText(text: string): string {
  return struck(text, MAX_ENCODINGS)
}

/** A url in a query of a url in a query: as deep as anybody has been seen to put them. */
const MAX_ENCODINGS = 3

function struck(text: string, encodings: number): string {
  const safe = strikeUserInfo(strikeFlags(strikeNamedValues(strikeShapes(text))))
  return encodings === 0 ? safe : strikeEncoded(safe, encodings)
}

/** What holds a secret once its percent-encoding is undone is shown without both. */
function strikeEncoded(text: string, encodings: number): string {
  // JSON in a query whose values hold blanks is more than one word
  const whole = QUOTE_IN_QUERY.test(text) ? strikeDecoded(text, encodings) : text
  if (whole !== text) return whole
  return text.replaceAll(/\S+/g, (word) => strikeDecoded(word, encodings))
}

const QUOTE_IN_QUERY = /%(?:25)*2[27]/

function strikeDecoded(text: string, encodings: number): string {
  if (!text.includes('%')) return text
  // a form writes blanks as `+` (WHATWG URL 5.1)
  const spaced = QUOTE_IN_QUERY.test(text) ? text.replaceAll('+', ' ') : text
  const plain = spaced.replaceAll(/%([2-7][\da-f]|0[9ad])/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  const safe = struck(plain, encodings - 1)
  return safe === plain ? text : safe
}

/** Longest text of a log field, an event, an error on the wire; the longest of today is a process's output. */
export const MAX_TEXT_CHARS = 8192
/** Of a text without end so many times that is looked at: what is shown is cut after its secrets are gone. */
const LOOK_AHEAD = 8

/** The same, and no longer than `maxChars`; what is missing is counted. */
export function redactBounded(text: string, maxChars = MAX_TEXT_CHARS): string {
  return cutAnywhere(redactText(cutBetweenWords(text, maxChars * LOOK_AHEAD)), maxChars)
}

export interface RedactOptions {
  /** How each text is made safe; redactText unless given. */
  readonly text?: (text: string) => string
}

const MAX_DEPTH = 12

/** A deep copy in which the values of secret keys are `***` and texts hold no secrets. */
export function redact(value: unknown, options: RedactOptions = {}, depth = 0): unknown {
  if (typeof value === 'string') return (options.text ?? redactText)(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth > MAX_DEPTH) return '…'
  if (value instanceof Uint8Array) return `<${value.length} bytes>`
  if (Array.isArray(value))
    return value.map((item, i) => redactItem(value, item, i, options, depth))
  const entries = Object.entries(value)
  const isPairOfSecret = entries.some(([key, item]) => isNameKey(key) && isSecretWord(item))
  return Object.fromEntries(
    entries.map(([key, item]) => {
      const isSecret = isSecretKey(key) || (isPairOfSecret && key.toLowerCase() === 'value')
      if (isSecret && item !== null && item !== undefined) return [key, REDACTED]
      return [key, redact(item, options, depth + 1)]
    }),
  )
}

/** Headers as Node has them raw: `['authorization', 'Basic …']`. */
function redactItem(
  list: readonly unknown[],
  item: unknown,
  i: number,
  options: RedactOptions,
  depth: number,
): unknown {
  const isValue = typeof item === 'string' && isSecretWord(list[i - 1])
  return isValue ? REDACTED : redact(item, options, depth + 1)
}

/** `{"name": "Authorization", "value": "…"}`. */
function isNameKey(key: string): boolean {
  return /^(?:name|key|header)$/i.test(key)
}

function isSecretWord(item: unknown): boolean {
  return typeof item === 'string' && item.length <= 64 && isSecretKey(item)
}
