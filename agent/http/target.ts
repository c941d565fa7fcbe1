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
  if (isGiven || (url.username === '' && url.password === '')) return { ...headers }
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
  return { ...headers, authorization: `Basic ${Buffer.from(pair).toString('base64')}` }
}

/** Credentials are for the server they were given for: another origin must not see them. */
export function withoutAuthorization(headers: Record<string, string>): Record<string, string> {
  const secret = new Set(['authorization', 'cookie', 'x-auth-token'])
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !secret.has(name.toLowerCase())),
  )
}
