// SPDX-License-Identifier: Apache-2.0
// Owns how far the credentials reach in a header that stands in a text (RFC 9110 11.4, RFC 6265 4).
// Does not find headers; named-values.ts does.
import { indexFrom, matchFrom, type Part } from './strike.ts'

interface HeaderValue {
  readonly parts: readonly Part[]
  readonly end: number
}

/** What has been struck out before. */
const STRUCK = /(?:[\w-]{1,32}[ \t]+)?\*{3,}/y
/** One word holds all of the credentials. */
const ONE_WORD = /(?:basic|bearer|negotiate|ntlm|token|apikey|hoba|dpop)[ \t]+/iy
/** Credentials are parameters: Digest, AWS4-HMAC-SHA256, OAuth, Hawk, Signature. */
const SCHEME =
  /(?:digest|oauth|hawk|mac|signature|(?:aws|goog)4-[\w-]{1,32})[ \t]+(?=[\w-]{1,64}[ \t]?=)/iy
const PARAMETER = /[ \t]{0,4}[\w-]{1,64}[ \t]?=[ \t]?(?:\\*"[^"]*(?:"|$)|[^\s,"'\\]+)[ \t]?,?/y
const WORD_END = /[\s"'`<>]|\\+["'n]/g
const LINE_END = /[\r\n]|\\+n/g

/** The credentials of `Authorization: …` from `start` on. @param quote around header and value, or nothing */
export function authorizationParts(text: string, start: number, quote: string): HeaderValue {
  const struck = matchAt(text, STRUCK, start)
  if (struck > start) return { parts: [], end: struck }
  const word = matchAt(text, ONE_WORD, start)
  if (word > start) {
    const end = indexFrom(text, WORD_END, word, text.length)
    return { parts: [{ start: word, end }], end }
  }
  const scheme = matchAt(text, SCHEME, start)
  if (scheme > start) {
    const end = parametersEnd(text, scheme)
    return { parts: [{ start: scheme, end }], end }
  }
  // no scheme that is known: all of it may be the secret
  const lineEnd = indexFrom(text, LINE_END, start, text.length)
  const end = quote === '' ? lineEnd : Math.min(lineEnd, orEnd(text.indexOf(quote, start), text))
  return { parts: end === start ? [] : [{ start, end }], end }
}

/** Where a list of parameters ends, `name="value", …`. */
export function parametersEnd(text: string, start: number): number {
  let end = start
  for (let next = matchAt(text, PARAMETER, end); next > end; next = matchAt(text, PARAMETER, end)) {
    end = next
  }
  while (end > start && /[\s,]/.test(text[end - 1] as string)) end -= 1
  return end
}

// no name begins with a colon (RFC 6265 4.1.1), but an IPv6 address behind the word does
const COOKIE = /[ \t]{0,4}(?!:)([^\s=;,"'\\]{1,256}=)?(\\*"[^"]*(?:"|$)|[^\s;,"'\\]*)/y

/** The values of `Cookie: a=b; c=d` or `Set-Cookie: a=b; Path=/`. */
export function cookieParts(text: string, start: number): HeaderValue {
  const parts: Part[] = []
  let end = start
  while (end < text.length) {
    const [pair = '', name = '', value = ''] = matchFrom(text, COOKIE, end) ?? []
    if (pair.trim() === '') break
    end += pair.length
    // without `=` it is an attribute, such as HttpOnly; a first one is a cookie without name
    const isSecret = value !== '' && (name !== '' || parts.length === 0)
    if (isSecret) parts.push({ start: end - value.length, end })
    if (text[end] !== ';') break
    end += 1
  }
  return { parts, end: Math.max(end, start) }
}

function matchAt(text: string, pattern: RegExp, at: number): number {
  const match = matchFrom(text, pattern, at)
  return match ? at + match[0].length : at
}

function orEnd(at: number, text: string): number {
  return at < 0 ? text.length : at
}
