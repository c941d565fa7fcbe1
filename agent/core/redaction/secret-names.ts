// SPDX-License-Identifier: Apache-2.0
// Owns which names stand for secrets: of JSON keys, headers, query parameters, kernel parameters and
// flags. Does not look for them in texts; named-values.ts does.

/** Longest name that is looked at; so the work per separator has a bound. */
export const MAX_NAME_CHARS = 64

/** Their values are secret wherever `name=value`, `name: value` or `--name value` stands. */
const IN_ANY_TEXT =
  /(?:password|passwd|[a-z0-9]_?pwd|passphrase|pass_?key|torrent_pass|auth_?key|api_?key|secret|secret_?(?:access_?)?key|access_?key(?:_?id)?|private_?key|[a-z0-9]_?token|key_pair_id|temp_url_(?:sig|expires)|jwt)$/

/** Of a shell's environment, and no secret. */
const WORKING_DIRECTORY = /^old_?pwd$/

/** Secret in a query alone: elsewhere these are ordinary words. Pre-signed URLs of S3, GCS, Azure, CloudFront, Akamai. */
const IN_QUERY =
  /^(?:sig|signature|token|key|auth.*|policy|pass|pwd|credentials?|hmac|hdnts|hdnea|ticket|googleaccessid|x_amz_.*|x_goog_.*)$/

/** Of a pre-signed request as headers; the other x-amz and x-goog headers say what failed. */
const SIGNED_HEADER = /^x_(?:amz|goog)_(?:signature|credential|security_token)$/

/** Keys whose whole value, text or object, never leaves the process. */
const AS_KEY: ReadonlySet<string> = new Set([
  'authorization',
  'configdrive',
  'content',
  'cookie',
  'image_request_authorization',
  'pass',
  'proxy_authorization',
  'pull_options',
  'pwd',
  'run_options',
  'set_cookie',
  'sig',
  'system_logs',
  'token',
  'user_data',
])

/** Headers with a grammar of their own. */
export type SecretHeader = 'authorization' | 'cookie'

/** `X-Auth-Token`, `x%2Dauth%2Dtoken` and `xAuthToken` are compared as `x_auth_token`, `x_auth_token`, `xauthtoken`. */
export function comparableName(name: string): string {
  return name.toLowerCase().replaceAll('-', '_')
}

/** True for a key of an object, or a quoted one of JSON inside a text, whose value is secret. */
export function isSecretKey(key: string): boolean {
  const name = comparableName(key.slice(-MAX_NAME_CHARS))
  return AS_KEY.has(name) || isSecretName(name)
}

/** True where `name` is enough, in any text. @param name as comparableName makes it */
export function isSecretName(name: string): boolean {
  return (IN_ANY_TEXT.test(name) && !WORKING_DIRECTORY.test(name)) || SIGNED_HEADER.test(name)
}

/** True for a parameter of a query. @param name as comparableName makes it */
export function isSecretParameter(name: string): boolean {
  return isSecretName(name) || IN_QUERY.test(name)
}

/** Which grammar the value of a header follows, if it is one of these. @param name as comparableName makes it */
export function secretHeaderOf(name: string): SecretHeader | undefined {
  if (name.endsWith('authorization')) return 'authorization'
  return name === 'cookie' || name === 'set_cookie' ? 'cookie' : undefined
}
