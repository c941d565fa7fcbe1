// SPDX-License-Identifier: Apache-2.0
// Owns the words for a failed HTTP exchange: a reason that code can act on, a text without secrets.
// Does not decide on retries.
import { systemErrorCode } from '../core/errors.ts'
import { redactBounded, redactUrl } from '../core/redact.ts'

/**
 * `connect` no connection · `timeout` nothing came in time · `reset` the connection broke · `short` the
 * body ended before its length · `protocol` not HTTP · `tls` certificate or handshake · `proxy`
 * the proxy refused · `redirect` too many or nowhere · `too-large` more than the caller takes ·
 * `bad-url` · `aborted` by the caller
 */
export type HttpFailureReason =
  | 'connect'
  | 'timeout'
  | 'reset'
  | 'short'
  | 'protocol'
  | 'tls'
  | 'proxy'
  | 'redirect'
  | 'too-large'
  | 'bad-url'
  | 'aborted'

const TRANSIENT: ReadonlySet<HttpFailureReason> = new Set(['connect', 'timeout', 'reset', 'short'])

/** An exchange that brought no complete answer. The message names the url without its secrets. */
export class HttpFailure extends Error {
  readonly reason: HttpFailureReason

  constructor(reason: HttpFailureReason, message: string, cause?: unknown) {
    super(redactBounded(message), cause === undefined ? {} : { cause })
    this.name = 'HttpFailure'
    this.reason = reason
  }

  /** True if the same request may succeed later. */
  get isTransient(): boolean {
    return TRANSIENT.has(this.reason)
  }
}

/** undici's and Node's error codes, by what they mean to the caller. */
const REASONS: readonly [RegExp, HttpFailureReason, string][] = [
  [/^UND_ERR_CONNECT_TIMEOUT$/, 'timeout', 'no connection in time'],
  [/^UND_ERR_HEADERS_TIMEOUT$/, 'timeout', 'no answer in time'],
  [/^UND_ERR_BODY_TIMEOUT$/, 'timeout', 'the answer stalled'],
  [/^EOF_IN_ANSWER$/, 'short', 'the answer ended before its last chunk'],
  [/^UND_ERR_RES_CONTENT_LENGTH_MISMATCH$/, 'short', 'the answer ended before its Content-Length'],
  [/^UND_ERR_HEADERS_OVERFLOW$/, 'protocol', 'the headers of the answer are too long'],
  [/^UND_ERR_PRX|^UND_ERR_ABORTED$/, 'proxy', 'the proxy refused the connection'],
  [/^UND_ERR_INVALID_ARG$/, 'proxy', 'the request was refused'],
  [/^NOT_HTTP$/, 'protocol', 'the answer is not valid HTTP'],
  [/^(UND_ERR_SOCKET|ECONNRESET|EPIPE|UND_ERR_INFO)$/, 'reset', 'the connection broke'],
  [
    /^(ECONNREFUSED|ENOTFOUND|EAI_.*|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EADDRNOTAVAIL)$/,
    'connect',
    'no connection',
  ],
  [/CERT|^ERR_TLS|^ERR_SSL|^ERR_OSSL|^UNABLE_TO|^EPROTO$|^HOSTNAME_/, 'tls', 'TLS failed'],
]

/** The HttpFailure for whatever the HTTP library threw while asking `url`. */
export function httpFailureOf(error: unknown, url: string): HttpFailure {
  if (error instanceof HttpFailure) return error
  const code = codeOf(error)
  const row = REASONS.find(([pattern]) => pattern.test(code))
  const text = error instanceof Error ? error.message : String(error)
  // AggregateError of a host with several addresses has an empty message and a useful code
  const facts = text.includes(code) ? text : [code, text].filter((part) => part !== '').join(': ')
  const [reason, phrase] = row ? [row[1], row[2]] : (['reset', 'the exchange failed'] as const)
  return new HttpFailure(reason, `${redactUrl(url)}: ${phrase} (${facts})`, error)
}

/** undici's parser errors have no code of their own; a connection that is closed too early is one of them. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error) || error.name !== 'HTTPParserError') {
    return systemErrorCode(error) ?? ''
  }
  return /EOF/.test(error.message) ? 'EOF_IN_ANSWER' : 'NOT_HTTP'
}
