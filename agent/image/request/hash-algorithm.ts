// SPDX-License-Identifier: Apache-2.0
// Owns the hash algorithms by Ironic's names and what OpenSSL calls them. Does not choose one.
import { createHash, getHashes, type Hash } from 'node:crypto'
import { AgentError } from '../../core/errors.ts'

export interface Algorithm {
  /** OpenSSL's name, which is Node's. */
  readonly openssl: string
  readonly hexDigits: number
}

/** hashlib name → OpenSSL's, strongest first. Algorithms of variable length (shake) have no one digest to compare. */
const ALGORITHMS: Readonly<Record<string, Algorithm>> = {
  sha512: { openssl: 'sha512', hexDigits: 128 },
  sha3_512: { openssl: 'sha3-512', hexDigits: 128 },
  blake2b: { openssl: 'blake2b512', hexDigits: 128 },
  sha384: { openssl: 'sha384', hexDigits: 96 },
  sha3_384: { openssl: 'sha3-384', hexDigits: 96 },
  sha256: { openssl: 'sha256', hexDigits: 64 },
  sha3_256: { openssl: 'sha3-256', hexDigits: 64 },
  sha512_256: { openssl: 'sha512-256', hexDigits: 64 },
  blake2s: { openssl: 'blake2s256', hexDigits: 64 },
  sm3: { openssl: 'sm3', hexDigits: 64 },
  sha224: { openssl: 'sha224', hexDigits: 56 },
  sha3_224: { openssl: 'sha3-224', hexDigits: 56 },
  sha512_224: { openssl: 'sha512-224', hexDigits: 56 },
  ripemd160: { openssl: 'ripemd160', hexDigits: 40 },
  'md5-sha1': { openssl: 'md5-sha1', hexDigits: 72 },
  sha1: { openssl: 'sha1', hexDigits: 40 },
  md5: { openssl: 'md5', hexDigits: 32 },
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

/**
 * Ironic's name of what a tool calls an algorithm: `SHA2-256`, `sha-256`, `SHA512/256`, `RMD160`. Undefined if it
 * is none of these, or has not `hexDigits` digits.
 */
export function algorithmNamed(word: string, hexDigits?: number): string | undefined {
  const plain = (name: string) => name.toLowerCase().replaceAll(/[-_/]/g, '')
  const asked = plain(word)
    .replace(/^sha2(?=224$|256$|384$|512)/, 'sha')
    .replace(/^rmd160$/, 'ripemd160')
  const found = Object.entries(ALGORITHMS).find(
    ([name, { openssl }]) => plain(name) === asked || plain(openssl) === asked,
  )
  if (!found || !algorithm(found[0])) return undefined
  return hexDigits === undefined || found[1].hexDigits === hexDigits ? found[0] : undefined
}

/** A smaller number is a stronger algorithm. */
export function strengthOf(algo: string): number {
  return Object.keys(ALGORITHMS).indexOf(algo)
}
