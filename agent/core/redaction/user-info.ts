// SPDX-License-Identifier: Apache-2.0
// Owns striking out the user info of urls in a text: `user:password@`, `token@`, also where the url does
// not parse, is percent-encoded or lacks its scheme. Works on the text: what `new URL` refuses still holds
// its password. Does not look at queries; named-values.ts does.
import { matchFrom, type Part, startOfRun, strike } from './strike.ts'

/** `://`, with slashes as JSON escapes them, or percent-encoded any number of times. */
const AUTHORITY = /(?<=[a-z0-9])(?::|%(?:25)*3A)(?:\\*\/|%(?:25)*2F){2}/gi
const URL_END = /[\s"'`<>]|\\+["'n]/
const ENCODED_URL_END = /[\s"'`<>&]/
const AT = /@|%(?:25)*40/i
/** A host, with its port, to its end; a colon may follow, of a sentence. */
const HOST = /(?:\[[\da-f:.]{2,48}\]|[\w.~-]{1,253})(?::\d{0,5})?(?=[/?#\\,;)\]}&%]|:?$)/iy
const HOST_WITH_PORT =
  /(?:\[[\da-f:.]{2,48}\]|[\w.-]{1,253}):\d{1,5}(?=[/?#\\,;.)\]}&\s"']|:?(?:\s|$))/iy
/** A scheme before the next `://`, at most. */
const MAX_SCHEME_CHARS = 16

/**
 * Every url without its user info.
 * @param isOneUrl the whole text is one url: blanks and quotes are part of it, and so may its scheme be missing
 */
export function strikeUserInfo(text: string, isOneUrl = false): string {
  const marks = [...text.matchAll(AUTHORITY)].map(({ index, 0: mark }) => ({
    index,
    from: index + mark.length,
    isEncoded: mark.includes('%'),
  }))
  const parts: Part[] = []
  for (const [i, mark] of marks.entries()) {
    const next = marks[i + 1]
    const limit = next ? Math.max(mark.from, schemeStart(text, next.index)) : text.length
    const room = text.slice(mark.from, limit)
    if (!AT.test(room)) continue
    const rest = isOneUrl ? room : room.slice(0, urlEnd(room, mark.isEncoded))
    const length = mark.isEncoded ? encodedUserInfo(rest) : userInfoLength(rest)
    if (length > 0) parts.push({ start: mark.from, end: mark.from + length })
  }
  return strikeWithoutScheme(strike(text, parts), isOneUrl && marks.length === 0)
}

function schemeStart(text: string, end: number): number {
  return startOfRun(text, end, /[a-z0-9+.-]/i, { max: MAX_SCHEME_CHARS })
}

/** What follows an authority whose port is none, so that it is a password which goes on up to an `@` near by. */
const REST_OF_PASSWORD =
  /^(?:(?: [^\s@]{0,128}){1,4}|["'`<>][^\s"'`<>@,:}\]]{1,128})@[^\s"'<>]{0,253}/
/** What follows an `@` that may be of the password: the host of a url is mostly longer than a word. */
const NEXT_WORD = /^ [^\s@]{0,128}@[^\s"'<>]{0,253}/
const MAX_AUTHORITY_CHARS = 256
const MAX_REST_CHARS = 1024

/**
 * Where the url ends whose part behind `://` begins `text`. `http://user:pass word@host` and
 * `http://user:p@ss word@host` would end at their blanks; what follows up to an `@` belongs to them.
 */
function urlEnd(text: string, isEncoded: boolean): number {
  const end = text.search(isEncoded ? ENCODED_URL_END : URL_END)
  if (end < 0) return text.length
  const authority = text.slice(0, Math.min(end, MAX_AUTHORITY_CHARS))
  const rest = text.slice(end, end + MAX_REST_CHARS)
  if (/^[^/?#@:]+:(?!\d*$)[^@]*$/.test(authority)) {
    return end + (REST_OF_PASSWORD.exec(rest)?.[0].length ?? 0)
  }
  const hasShortHost = /^[^/?#@:]*:[^/?#]*@[^./?#:@]*$/.test(authority)
  return end + ((hasShortHost && NEXT_WORD.exec(rest)?.[0].length) || 0)
}

/** How many characters of `rest`, what follows `://`, are user info; without its `@`. */
function userInfoLength(rest: string): number {
  const delimiter = /[/?#\\]/.exec(rest)?.index ?? rest.length
  const authority = rest.slice(0, delimiter)
  const inAuthority = authority.lastIndexOf('@')
  const query = /[?#]/.exec(rest)?.index ?? rest.length
  if (inAuthority >= 0) return Math.max(inAuthority, lastAtBeforeHost(rest.slice(0, query), HOST))
  // `user:pa/ss@host`: what looks like a port is none, so it is a password
  const hasBadPort = /^[^[:]*:(?!\d+$)/.test(authority)
  return Math.max(0, lastAtBeforeHost(rest, hasBadPort ? HOST : HOST_WITH_PORT))
}

function lastAtBeforeHost(text: string, host: RegExp): number {
  for (let at = text.lastIndexOf('@'); at >= 0; at = text.lastIndexOf('@', at - 1)) {
    if (matchFrom(text, host, at + 1)) return at
    if (at === 0) break
  }
  return -1
}

/** The same where all delimiters are percent-encoded. */
function encodedUserInfo(rest: string): number {
  const delimiter = /[/?#]|%(?:25)*(?:2F|3F|23)/i.exec(rest)?.index ?? rest.length
  const ats = [...rest.slice(0, delimiter).matchAll(/@|%(?:25)*40/gi)]
  return ats.at(-1)?.index ?? 0
}

/** `user:password@proxy:3128`; without the port it may as well be an address of mail, unless all of it is a url. */
function strikeWithoutScheme(text: string, isOneUrl: boolean): string {
  if (isOneUrl) {
    const at = text.lastIndexOf('@')
    return text.slice(0, Math.max(at, 0)).includes(':')
      ? strike(text, [{ start: 0, end: at }])
      : text
  }
  const parts: Part[] = []
  let doneTo = 0
  for (let at = text.indexOf('@'); at >= 0; at = text.indexOf('@', at + 1)) {
    if (!matchFrom(text, HOST_WITH_PORT, at + 1)) continue
    const start = startOfRun(text, at, /[^\s"'<>@/,]/, { notBefore: doneTo, max: 256 })
    if (text.slice(start, at).includes(':')) parts.push({ start, end: at })
    doneTo = at + 1
  }
  return strike(text, parts)
}
