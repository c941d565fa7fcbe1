// SPDX-License-Identifier: Apache-2.0
// Owns the list of what is secret and how it is struck out. Every log, error and status goes through here.

export const REDACTED = '***'

/** Keys whose values never leave the process in a log, error or status. */
const SECRET_KEYS: ReadonlySet<string> = new Set([
  'agent_token',
  'agent_secret_token',
  'authorization',
  'configdrive',
  'cookie',
  'content',
  'image_request_authorization',
  'image_server_password',
  'ipa-agent-token',
  'oci_pull_secret',
  'password',
  'proxy-authorization',
  'pull_secret',
  'rescue_password',
  'system_logs',
  'user_data',
  'x-auth-token',
])

/** Query parameters that grant access: Swift temporary URLs, S3/GCS/Azure pre-signed URLs, tokens. */
const SECRET_QUERY =
  /^(temp_url_sig|sig|signature|token|agent_token|key|passkey|auth.*|x-amz-.*|x-goog-.*|password|secret)$/i

/** Private trackers carry their passkey in the path. */
const PASSKEY = /\/[A-Za-z0-9_-]{16,}(?=\/(?:announce|scrape)(?:\.php)?$)/

/** A url without credentials: user info, secret query values and passkeys struck out. */
export function redactUrl(text: string): string {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return text
  }
  if (url.password) url.password = REDACTED
  url.pathname = url.pathname.replace(PASSKEY, `/${REDACTED}`)
  for (const name of [...url.searchParams.keys()]) {
    if (SECRET_QUERY.test(name)) url.searchParams.set(name, REDACTED)
  }
  return url.toString()
}

/** Every url inside a text, and every `agent_token=…` word, made safe. */
export function redactText(text: string): string {
  return text
    .replaceAll(/\b[a-z][a-z0-9+.-]*:\/\/[^\s"'<>\\]+/gi, (url) => redactUrl(url))
    .replaceAll(/\b((?:ipa-)?agent[_-]token=)[^\s&"']+/gi, `$1${REDACTED}`)
}

/** A deep copy in which secret keys hold `***` and urls carry no secrets. */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redactText(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth > 12) return '…'
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1))
  if (value instanceof Uint8Array) return `<${value.length} bytes>`
  const copy: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) {
    const isSecret = SECRET_KEYS.has(key.toLowerCase()) && item !== null && item !== undefined
    copy[key] = isSecret ? REDACTED : redact(item, depth + 1)
  }
  return copy
}
