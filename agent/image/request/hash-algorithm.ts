// SPDX-License-Identifier: Apache-2.0
// Owns the hash algorithms by Ironic's names and what OpenSSL calls them. Does not choose one.
import { createHash, getHashes, type Hash } from 'node:crypto'
import { AgentError } from '../../core/errors.ts'

export interface Algorithm {
  /** OpenSSL's name, which is Node's. */
  readonly openssl: string
  readonly hexDigits: number
}

/** hashlib name → OpenSSL's. Algorithms of variable length (shake) have no one digest to compare. */
const ALGORITHMS: Readonly<Record<string, Algorithm>> = {
  md5: { openssl: 'md5', hexDigits: 32 },
  sha1: { openssl: 'sha1', hexDigits: 40 },
  sha224: { openssl: 'sha224', hexDigits: 56 },
  sha256: { openssl: 'sha256', hexDigits: 64 },
  sha384: { openssl: 'sha384', hexDigits: 96 },
  sha512: { openssl: 'sha512', hexDigits: 128 },
  sha512_256: { openssl: 'sha512-256', hexDigits: 64 },
  sha3_256: { openssl: 'sha3-256', hexDigits: 64 },
  sha3_384: { openssl: 'sha3-384', hexDigits: 96 },
  sha3_512: { openssl: 'sha3-512', hexDigits: 128 },
  blake2b: { openssl: 'blake2b512', hexDigits: 128 },
  blake2s: { openssl: 'blake2s256', hexDigits: 64 },
  sm3: { openssl: 'sm3', hexDigits: 64 },
}

/** A running digest of Ironic's `algo`. */
export function createHasher(algo: string): Hash {
  const known = algorithm(algo)
  if (!known) throw new AgentError('ImageChecksumError', `unknown hash algorithm ${algo}`)
  return createHash(known.openssl)
}

/** The row of a name; undefined if it cannot be computed here. OpenSSL may be built without some of them (FIPS has no MD5). */
export function algorithm(algo: string): Algorithm | undefined {
  const known = Object.hasOwn(ALGORITHMS, algo) ? ALGORITHMS[algo] : undefined
  return known && getHashes().includes(known.openssl) ? known : undefined
}
