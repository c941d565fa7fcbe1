// SPDX-License-Identifier: Apache-2.0
// Owns secrets that are known by their shape alone: credentials behind a scheme's name, JSON web tokens,
// Keystone's tokens, private keys, passkeys in the path of a tracker. Does not need a name before them.
import { parametersEnd } from './headers.ts'
import { indexFrom, matchFrom, type Part, REDACTED, startOfRun, strike } from './strike.ts'

/** Three parts and more in base64url; the first begins with `{"` (RFC 7519). */
const JSON_WEB_TOKEN = /(?<![\w-])eyJ[\w-]+\.[\w-]+\.[\w-]*(?:\.[\w-]*)*/g
/** Fernet tokens of Keystone: version 0x80 and a time of this century. */
const FERNET = /(?<![\w-])gAAAAA[\w-]{30,}(?:%3D|=){0,2}/g
const PRIVATE_KEY = /-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----/g
const PRIVATE_KEY_END = /-----END [A-Z ]{0,32}PRIVATE KEY-----/g
/** Behind the `\n` of a text inside of JSON too. */
const SCHEME = /(?:\b|(?<=\\[nrt]))(basic|bearer|digest)(?:[ \t]{1,4}|%20|\+)/gi
const BASE64 = /[\w+/-]{4,512}={0,2}/y
const BASE64_RUN = /[\w+/=-]*/y
/** No user and password are longer; a longer word is struck out unseen, for looking at it would take too long. */
const MAX_CREDENTIALS = 512
const UUID = /^[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}$/i
const TOKEN = /[\w.~+/-]+={0,2}/y
const ANNOUNCE = /(?:\/|%(?:25)*2F)(?:announce|scrape)(?:\.php)?(?![\w-])/gi

/** Everything secret by shape, struck out. */
export function strikeShapes(text: string): string {
  return strikePasskeys(
    strikeCredentials(
      strikePrivateKeys(text.replaceAll(JSON_WEB_TOKEN, REDACTED).replaceAll(FERNET, REDACTED)),
    ),
  )
}

function strikePrivateKeys(text: string): string {
  const parts: Part[] = []
  let doneTo = 0
  for (const { index, 0: opening } of text.matchAll(PRIVATE_KEY)) {
    if (index < doneTo) continue
    const start = index + opening.length
    doneTo = indexFrom(text, PRIVATE_KEY_END, start, text.length)
    parts.push({ start, end: doneTo })
  }
  return strike(text, parts)
}

/** `Basic dXNlcjpwdw==` without a header's name before it; "basic authentication" stays. */
function strikeCredentials(text: string): string {
  const parts: Part[] = []
  let doneTo = 0
  // parameters up to here have been looked at, and are none of a digest
  let lookedTo = 0
  for (const { index, 0: lead, 1: word = '' } of text.matchAll(SCHEME)) {
    const scheme = word.toLowerCase()
    if (index < doneTo || (scheme === 'digest' && index < lookedTo)) continue
    const start = index + lead.length
    let end = start
    if (scheme === 'digest') {
      lookedTo = parametersEnd(text, start)
      if (/\b(?:response|username)[ \t]?=/.test(text.slice(start, lookedTo))) end = lookedTo
    } else end = credentialsEnd(text, start, scheme)
    if (end > start) parts.push({ start, end })
    doneTo = end
  }
  return strike(text, parts)
}

function credentialsEnd(text: string, start: number, scheme: string): number {
  const word = wordAt(text, start, scheme === 'basic' ? BASE64 : TOKEN)
  if (scheme === 'basic' && word.length >= MAX_CREDENTIALS) {
    return start + wordAt(text, start, BASE64_RUN).length
  }
  const isSecret = scheme === 'basic' ? isUserAndPassword(word) : isToken(word)
  return isSecret ? start + word.length : start
}

function wordAt(text: string, start: number, pattern: RegExp): string {
  return matchFrom(text, pattern, start)?.[0] ?? ''
}

/** Without control characters (RFC 7617, 2). A UUID is a name, though one in a few decodes to a pair by chance. */
function isUserAndPassword(word: string): boolean {
  if (UUID.test(word)) return false
  const pair = Buffer.from(word, 'base64')
  return pair.includes(0x3a) && !pair.some((byte) => byte < 0x20 || byte === 0x7f)
}

/** A word of a language has neither digits nor this length. */
function isToken(word: string): boolean {
  return word.length >= 6 && (/\d/.test(word) || word.length >= 24)
}

/** Private trackers carry the passkey in the path, before or behind `announce`. */
function strikePasskeys(text: string): string {
  const parts: Part[] = []
  for (const { index, 0: announce } of text.matchAll(ANNOUNCE)) {
    let start = startOfRun(text, index, /[\w-]/, { notBefore: parts.at(-1)?.end ?? 0 })
    // of a percent-encoded slash the last two characters look like a word's
    if (
      /%(?:25)*$/.test(text.slice(Math.max(0, start - 9), start)) &&
      /^2F/i.test(text.slice(start, index))
    ) {
      start += 2
    }
    if (isPasskey(text.slice(start, index))) parts.push({ start, end: index })
    const behind = /^(?:\/|%(?:25)*2F)([\w-]+)/i.exec(
      text.slice(index + announce.length, index + announce.length + 256),
    )
    if (behind && isPasskey(behind[1] as string)) {
      const end = index + announce.length + behind[0].length
      parts.push({ start: end - (behind[1] as string).length, end })
    }
  }
  return strike(text, parts)
}

function isPasskey(segment: string): boolean {
  return segment.length >= 16 || (segment.length >= 10 && (segment.match(/\d/g) ?? []).length >= 3)
}
