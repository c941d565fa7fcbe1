// SPDX-License-Identifier: Apache-2.0
// Owns which digest an image must have: the choice between os_hash_* and checksum, checksum files
// (contract 5.3.2, 5.3.3). Does not fetch and does not hash the image.
import { AgentError } from '../../core/errors.ts'
import { algorithm } from './hash-algorithm.ts'
import { isHttpUrl, type OsHash } from './image-info.ts'

/** What the whole image must hash to. */
export interface ExpectedHash {
  /** Ironic's (Python hashlib's) name: `sha256`, `sha3_512`. */
  readonly algo: string
  /** Lower-case hex. */
  readonly value: string
}

/** The outcome of contract 5.3.2: a digest, or a url behind which it is found. */
export type HashChoice =
  | { readonly kind: 'value'; readonly hash: ExpectedHash }
  | { readonly kind: 'url'; readonly url: string; readonly algo: string | null }

/** The algorithm a bare digest means, by its number of hex digits (contract 5.3.2). */
const BY_LENGTH: ReadonlyMap<number, string> = new Map([
  [32, 'md5'],
  [64, 'sha256'],
  [128, 'sha512'],
])

/**
 * Contract 5.3.2: os_hash_* if its algorithm is known here, else `checksum`, a url or a digest whose
 * length tells the algorithm. Throws ImageChecksumError (operator) if nothing is left to compare with.
 */
export function chooseHash(
  image: { readonly osHash: OsHash | null; readonly checksum: string | null },
  md5Enabled: boolean,
): HashChoice {
  const { osHash, checksum } = image
  const algo = osHash?.algo.toLowerCase() ?? ''
  if (osHash && algorithm(algo) && (algo !== 'md5' || md5Enabled)) {
    return isHttpUrl(osHash.value)
      ? { kind: 'url', url: osHash.value, algo }
      : { kind: 'value', hash: expectedHash(osHash.value, algo, 'os_hash_value', md5Enabled) }
  }
  if (checksum) {
    return isHttpUrl(checksum)
      ? { kind: 'url', url: checksum, algo: null }
      : { kind: 'value', hash: expectedHash(checksum, null, 'checksum', md5Enabled) }
  }
  throw refused(
    `os_hash_algo ${osHash?.algo ?? 'is absent'} cannot be computed here and there is no checksum; ` +
      'use sha256 or sha512',
  )
}

/**
 * The digest a checksum file holds for an image (contract 5.3.3).
 * @param text the file; sha256sum's two columns, BSD's `SHA256 (name) = hex`, or one bare digest
 * @param imageUrl `urls[0]`: the last component of its path is the name to look for, matched literally
 * @param algo from os_hash_algo; null: by length
 */
export function hashFromChecksumFile(
  text: string,
  imageUrl: string,
  algo: string | null,
  md5Enabled: boolean,
): ExpectedHash {
  const lines = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '')
  const [first] = lines
  if (first === undefined) throw refused('Empty checksum file')
  if (lines.length === 1 && !/\s/.test(first)) {
    return expectedHash(first, algo, 'the checksum file', md5Enabled)
  }
  const names = fileNames(imageUrl)
  const digests = lines
    .filter((line) => !line.startsWith('#') && names.some((name) => isLineOf(line, name)))
    .flatMap((line) => digestIn(line) ?? [])
  const wanted = algo ? algorithm(algo)?.hexDigits : undefined
  const usable =
    digests.find((digest) => digest.length === wanted) ??
    digests.find((digest) => digest.length !== 32 || md5Enabled) ??
    digests[0]
  if (usable === undefined) {
    throw refused(`Checksum file does not contain name ${names[0]} (${lines.length} lines)`)
  }
  return expectedHash(usable, algo, 'the checksum file', md5Enabled)
}

/** Checks a digest and gives it an algorithm; uppercase hex is as good as lowercase. */
function expectedHash(
  text: string,
  algo: string | null,
  where: string,
  md5Enabled: boolean,
): ExpectedHash {
  const value = text.toLowerCase()
  const name = algo ?? BY_LENGTH.get(value.length)
  const digits = name === undefined ? undefined : algorithm(name)?.hexDigits
  if (name === undefined || !/^[0-9a-f]+$/.test(value)) {
    throw refused(
      `${where} must be 32, 64 or 128 hex digits or a url; got ${text.length} characters`,
    )
  }
  // a digest of another length can never agree: better said now than after the whole image
  if (digits !== value.length) {
    throw refused(`${where} has ${value.length} hex digits, but ${name} has ${digits}`)
  }
  if (name === 'md5' && !md5Enabled) {
    throw refused(`${where} is an MD5 digest and md5_enabled is false; give a sha256 or sha512`)
  }
  return { algo: name, value }
}

/** As the url spells the name, and decoded: both occur in checksum files. */
function fileNames(imageUrl: string): string[] {
  const name = new URL(imageUrl).pathname.split('/').at(-1) ?? ''
  const decoded = decodeOrSame(name)
  return decoded === name ? [name] : [name, decoded]
}

function decodeOrSame(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

/** `…<ws>[*]name` or BSD's ` (name) `; no pattern is built from the name. */
function isLineOf(line: string, name: string): boolean {
  if (name === '') return false
  if (line.includes(` (${name}) `)) return true
  if (!line.endsWith(name)) return false
  return /\s\*?$/.test(line.slice(0, -name.length))
}

/** 32, 64 or 128 hex digits at the start or the end of the line, tried in that order. */
function digestIn(line: string): string | undefined {
  const words = line.split(/\s+/)
  const ends = [words[0] ?? '', words.at(-1) ?? ''].filter((word) => /^[0-9a-f]+$/i.test(word))
  return [...BY_LENGTH.keys()].flatMap((n) => ends.filter((word) => word.length === n))[0]
}

function refused(details: string): AgentError {
  return new AgentError('ImageChecksumError', details, { kind: 'operator' })
}
