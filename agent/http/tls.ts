// SPDX-License-Identifier: Apache-2.0
// Owns the TLS side of outgoing requests (contract 3.6): trust, client certificate, lowest version, cipher
// suites. Does not open connections.
import { readFileSync } from 'node:fs'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import type { Config } from '../config/options.ts'
import { AgentError, messageOf } from '../core/errors.ts'

export type TlsSettings = Pick<
  Config,
  'insecure' | 'cafile' | 'certfile' | 'keyfile' | 'tls_min_version'
> &
  Partial<Pick<Config, 'tls_cipher_suites'>>

export interface TlsOptions {
  readonly secureContext: SecureContext
  readonly rejectUnauthorized: boolean
}

/**
 * What tls.connect needs, made once when first asked for: parsing some hundred CA certificates takes
 * longer than a handshake. The files are read at once, so that a wrong path fails before any transfer.
 * @throws AgentError InvalidConfigError
 */
export function createTlsOptions(settings: TlsSettings): () => TlsOptions {
  const files = {
    ca: readPem(settings.cafile, 'cafile'),
    cert: readPem(settings.certfile, 'certfile'),
    key: readPem(settings.keyfile, 'keyfile'),
  }
  let options: TlsOptions | undefined
  return () => {
    options ??= {
      secureContext: secureContextOf(settings, files),
      rejectUnauthorized: !settings.insecure,
    }
    return options
  }
}

/** All suites of TLS 1.3 that OpenSSL has on by default; none of them is weak. */
export const TLS_1_3_SUITES = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
] as const

/**
 * OpenSSL's list for option tls_cipher_suites, which is of TLS 1.2 alone as in IPA (contract 1.2): those of 1.3
 * stay. Undefined without the option: what Node or the server has by itself.
 */
export function cipherList(suites: string | null | undefined): string | undefined {
  const names = (suites ?? '').split(/[:,\s]+/).filter((name) => name !== '')
  return names.length === 0 ? undefined : [...TLS_1_3_SUITES, ...names].join(':')
}

interface PemFiles {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
}

function secureContextOf(settings: TlsSettings, { ca, cert, key }: PemFiles): SecureContext {
  const ciphers = cipherList(settings.tls_cipher_suites)
  try {
    return createSecureContext({
      ...(ciphers === undefined ? {} : { ciphers }),
      ca: ca ?? systemAuthorities(),
      minVersion: `TLSv${settings.tls_min_version}`,
      // contract 1.3: the two are only effective together
      ...(cert !== undefined && key !== undefined ? { cert, key } : {}),
    })
  } catch (error) {
    throw new AgentError(
      'InvalidConfigError',
      `cafile, certfile, keyfile or tls_cipher_suites cannot be used: ${messageOf(error)}; files must be PEM, the key must fit the certificate, suites have OpenSSL's names`,
      { cause: error },
    )
  }
}

/** The machine's own store where the ramdisk has one, and Node's built-in list. */
function systemAuthorities(): string[] {
  return [...new Set([...getCACertificates('system'), ...getCACertificates('default')])]
}

function readPem(path: string | null, option: string): string | undefined {
  if (path === null || path === '') return undefined
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new AgentError('InvalidConfigError', `${option}: ${messageOf(error)}`, { cause: error })
  }
}
