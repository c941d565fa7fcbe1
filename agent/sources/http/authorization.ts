// SPDX-License-Identifier: Apache-2.0
// Owns the choice of credentials for the image server (contract 5.2). Sends nothing.
import type { Config } from '../../config/options.ts'
import { AgentError } from '../../core/errors.ts'

/** The fields of image_info that speak of credentials, as Ironic spells them. */
export interface ImageCredentials {
  readonly image_request_authorization?: string | null | undefined
  readonly image_server_auth_strategy?: string | null | undefined
  readonly image_server_user?: string | null | undefined
  readonly image_server_password?: string | null | undefined
}

type CredentialSettings = Pick<
  Config,
  'image_server_auth_strategy' | 'image_server_user' | 'image_server_password'
>

/**
 * The Authorization header for the image server, or undefined. `image_request_authorization` (base64)
 * wins and is sent verbatim; else basic auth, of which image_info wins over the configuration.
 * @throws AgentError ImageDownloadError when basic auth is asked for without user or password, or when
 *   the verbatim header is not base64 of one header line
 */
export function authorizationOf(
  credentials: ImageCredentials,
  config: CredentialSettings,
): string | undefined {
  if (credentials.image_request_authorization) {
    return decodedHeader(credentials.image_request_authorization)
  }
  const strategy = credentials.image_server_auth_strategy || config.image_server_auth_strategy
  if (strategy !== 'http_basic') return undefined
  const user = credentials.image_server_user || config.image_server_user
  const password = credentials.image_server_password || config.image_server_password
  if (!user || !password) {
    throw new AgentError(
      'ImageDownloadError',
      'image_server_auth_strategy is http_basic, but image_server_user or image_server_password is missing; set both in image_info or in the configuration',
      { kind: 'operator' },
    )
  }
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

function decodedHeader(encoded: string): string {
  const header = Buffer.from(encoded, 'base64').toString('utf8').trim()
  const isBase64 = /^[A-Za-z0-9+/_-]+={0,2}$/.test(encoded.trim())
  // a header value is one line of visible characters (RFC 9110 5.5)
  if (isBase64 && /^[\x20-\x7e]+$/.test(header)) return header
  throw new AgentError(
    'ImageDownloadError',
    'image_request_authorization must be the base64 form of one Authorization header value',
    { kind: 'operator' },
  )
}
