// SPDX-License-Identifier: Apache-2.0
// Owns the TLS side of outgoing requests (contract 3.6): trust, client certificate, lowest version, cipher
// suites. Does not open connections.
import { closeSync, openSync, readSync } from 'node:fs'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import type { Config } from '../config/options.ts'
import { AgentError, messageOf } from '../core/errors.ts'
import { formatBytes, KiB, MiB } from '../core/units.ts'

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
    ca: readPemIfNamed(settings.cafile, 'cafile'),
    cert: readPemIfNamed(settings.certfile, 'certfile'),
    key: readPemIfNamed(settings.keyfile, 'keyfile'),
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

/** The authorities of all the world are 250 KiB. */
const MOST_PEM_BYTES = 16 * MiB

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

/** Throws InvalidConfigError for a file that cannot be read, or is no certificate by its length. */
export function readPem(path: string, option: string): string {
  try {
    return readUpTo(path, MOST_PEM_BYTES)
  } catch (error) {
    throw new AgentError('InvalidConfigError', `${option}: ${messageOf(error)}`, { cause: error })
  }
}

function readPemIfNamed(path: string | null, option: string): string | undefined {
  return path === null || path === '' ? undefined : readPem(path, option)
}

/** It may be a device without end. */
function readUpTo(path: string, mostBytes: number): string {
  const file = openSync(path, 'r')
  try {
    const parts: Buffer[] = []
    for (let length = 0; length <= mostBytes; ) {
      const part = Buffer.allocUnsafe(64 * KiB)
      const bytesRead = readSync(file, part)
      if (bytesRead === 0) return Buffer.concat(parts).toString('utf8')
      parts.push(part.subarray(0, bytesRead))
      length += bytesRead
    }
  } finally {
    closeSync(file)
  }
  throw new RangeError(`${path} is longer than ${formatBytes(mostBytes)}`)
}
