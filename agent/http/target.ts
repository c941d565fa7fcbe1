// SPDX-License-Identifier: Apache-2.0
// Owns where a request goes and which credentials go with it (RFC 9110 10.2.2, 11). Pure.
import { redactUrl } from '../core/redact.ts'
import { HttpFailure } from './failure.ts'

/**
 * The url of a request, or of a redirect's Location relative to `base`.
 * @throws HttpFailure `bad-url` for anything but http and https
 */
export function targetOf(url: string, base?: URL): URL {
  const target = URL.parse(url, base?.href)
  if (!target) throw new HttpFailure('bad-url', `${redactUrl(url)}: not a url`)
  if (target.protocol !== 'http:' && target.protocol !== 'https:') {
    const what = base ? `redirect to ${target.protocol}` : `scheme ${target.protocol}`
    throw new HttpFailure(
      'bad-url',
      `${redactUrl(url)}: ${what} is not supported; use http or https`,
    )
  }
  return target
}

/** The url as it may be sent and shown: no user, no password. */
export function withoutCredentials(url: URL): URL {
  const bare = new URL(url)
  bare.username = ''
  bare.password = ''
  return bare
}

/** `http://user:password@host/` means basic auth, unless the caller says otherwise. */
export function withCredentials(
  headers: Readonly<Record<string, string>>,
  url: URL,
): Record<string, string> {
  const isGiven = Object.keys(headers).some((name) => name.toLowerCase() === 'authorization')
  const authorization = isGiven ? undefined : basicAuthorizationOf(url)
  return authorization === undefined ? { ...headers } : { ...headers, authorization }
}

/** The Authorization of the user and password in a url; undefined if there are none. */
export function basicAuthorizationOf({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined
  const pair = [percentDecoded(username), Buffer.from(':'), percentDecoded(password)]
  return `Basic ${Buffer.concat(pair).toString('base64')}`
}

/** The bytes that a text with escapes stands for. A `%` that begins no escape stands for itself, as with curl. */
function percentDecoded(text: string): Uint8Array {
  const parts = text.split(/(%[0-9a-f]{2})/i)
  return Buffer.concat(
    parts.map((part, i) => (i % 2 === 1 ? Buffer.from(part.slice(1), 'hex') : Buffer.from(part))),
  )
}

/**
 * True if what was given for one server may be shown to the other: the same origin, or the same host by TLS
 * where it was in clear before, both on their scheme's own port (as python-requests has it).
 */
export function isSameServer(given: URL, asked: URL): boolean {
  if (given.origin === asked.origin) return true
  const isUpgrade = given.protocol === 'http:' && asked.protocol === 'https:'
  return isUpgrade && given.hostname === asked.hostname && given.port === '' && asked.port === ''
}

/**
 * True if the body of a request may be sent again where a redirect leads: by TLS, or to the host that has had
 * it in clear. A heartbeat's body holds the agent token.
 */
export function mayCarryBody(from: URL, to: URL): boolean {
  if (to.protocol === 'https:') return true
  return from.protocol === 'http:' && from.hostname === to.hostname
}

/** Credentials are for the server they were given for: another must not see them. */
export function withoutAuthorization(headers: Record<string, string>): Record<string, string> {
  const secret = new Set(['authorization', 'cookie', 'x-auth-token'])
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !secret.has(name.toLowerCase())),
  )
}
