// SPDX-License-Identifier: Apache-2.0
// Owns a text fit to be shown: cut to a bound, one line of printable characters. Does not strike out secrets (redact.ts
// does).

/**
 * The text, or its first words and how much is missing: `… 4096 bytes cut`. Cut between two words: half a url
 * or token would not be known as one, and what is left of its secret would stay.
 * @param maxChars of what is kept
 */
export function cutBetweenWords(text: string, maxChars: number): string {
  if (text.length <= maxChars) return text
  const head = text.slice(0, maxChars)
  return withRestCounted(text, Math.max(head.lastIndexOf(' '), head.lastIndexOf('\n')) + 1)
}

/** The same, cut anywhere: for a text without secrets. */
export function cutAnywhere(text: string, maxChars: number): string {
  return text.length <= maxChars ? text : withRestCounted(text, maxChars)
}

/** A text of anybody as one line for a terminal: what that would take for an order is a blank. */
export function oneLine(text: string): string {
  return text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ')
}

function withRestCounted(text: string, keptChars: number): string {
  const kept = text.slice(0, keptChars)
  return `${kept}… ${Buffer.byteLength(text) - Buffer.byteLength(kept)} bytes cut`
}
