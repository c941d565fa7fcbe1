// SPDX-License-Identifier: Apache-2.0
// Owns how far a value reaches in a text: inside of quotes, over an object or list, over a word. Does not know
// which values are secret.
import { indexFrom, matchFrom, type Part, slashesBefore } from './strike.ts'

const QUOTE = /[ubr]{0,2}(\\*)(["'`])/iy

/** The inside of a quoted text at `start`; unterminated, it goes on to the end. */
export function quotedValue(text: string, start: number): Part | undefined {
  const opening = matchFrom(text, QUOTE, start)
  if (!opening) return undefined
  const [whole, slashes = '', quote = ''] = opening
  const from = start + whole.length
  return { start: from, end: closingQuote(text, from, quote, slashes.length) }
}

/**
 * Where a text that was opened by `depth` backslashes and a quote is closed: by the same, or by fewer, which end
 * what is around it. More of them belong to the inside: each encoding doubles the backslashes.
 */
function closingQuote(text: string, from: number, quote: string, depth: number): number {
  for (let at = text.indexOf(quote, from); at >= 0; at = text.indexOf(quote, at + 1)) {
    const slashes = slashesBefore(text, at, from)
    const isClosing = slashes < depth || (slashes - depth) % (2 * (depth + 1)) === 0
    if (isClosing) return at - Math.min(slashes, depth)
  }
  return text.length
}

const BRACKET_OR_QUOTE = /[[\]{}"]/g
const STEPS: Readonly<Record<string, number>> = { '{': 1, '[': 1, '}': -1, ']': -1 }

/** Where the object or list that begins at `start` ends. */
export function balancedEnd(text: string, start: number): number {
  let depth = 0
  let at = start
  do {
    at = indexFrom(text, BRACKET_OR_QUOTE, at, text.length)
    const step = STEPS[text[at] ?? '']
    depth += step ?? 0
    const slashes = slashesBefore(text, at, start)
    // past the quote that closes, which has as many backslashes before it
    if (text[at] === '"') at = closingQuote(text, at + 1, '"', slashes) + slashes
    at += 1
  } while (depth > 0 && at < text.length)
  return Math.min(at, text.length)
}

const WORD_END = /[\s"'`<>&]|\\+["'n]|\\u0026/g

/** The end of an unquoted value, without the punctuation of the sentence it stands in. */
export function wordEnd(text: string, start: number, pattern = WORD_END): number {
  let end = indexFrom(text, pattern, start, text.length)
  while (end > start && /[).,:;\]}]/.test(text[end - 1] as string)) end -= 1
  return end
}
