// SPDX-License-Identifier: Apache-2.0
// Owns putting `***` in the place of parts of a text, and how far a run of characters reaches. Does not know
// what is secret.

export const REDACTED = '***'

/** A part of a text: from `start` up to, not including, `end`. */
export interface Part {
  readonly start: number
  readonly end: number
}

/** The text with every part struck out. @param parts in order, none inside of another */
export function strike(text: string, parts: readonly Part[]): string {
  if (parts.length === 0) return text
  const kept: string[] = []
  let from = 0
  for (const { start, end } of parts) {
    kept.push(text.slice(from, start), REDACTED)
    from = end
  }
  kept.push(text.slice(from))
  return kept.join('')
}

/** What `pattern` (global: from `at` on; sticky: at `at`) matches. */
export function matchFrom(text: string, pattern: RegExp, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}

/** First index from `from` on at which `pattern` matches; `none` if nowhere. */
export function indexFrom(text: string, pattern: RegExp, from: number, none: number): number {
  return matchFrom(text, pattern, from)?.index ?? none
}

/** Where the run of `chars` begins that ends before `end`, going back at most `max` characters and to `notBefore`. */
export function startOfRun(
  text: string,
  end: number,
  chars: RegExp,
  { notBefore = 0, max = Number.POSITIVE_INFINITY } = {},
): number {
  let start = end
  while (start > notBefore && end - start < max && chars.test(text[start - 1] as string)) start -= 1
  return start
}

/** How many backslashes stand before `end`. */
export function slashesBefore(text: string, end: number, notBefore = 0): number {
  return end - startOfRun(text, end, /\\/, { notBefore })
}
