// SPDX-License-Identifier: Apache-2.0
// Owns which digest an image must have: the choice between os_hash_* and checksum, checksum files
// (contract 5.3.2, 5.3.3). Does not fetch and does not hash the image.
import { AgentError } from '../../core/errors.ts'
import { type ChecksumLine, contentOf, linesOf, onlyDigestOf } from './checksum-file.ts'
import { algorithm, strengthOf } from './hash-algorithm.ts'
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
 * The digest a checksum file holds for an image (contract 5.3.3): the strongest of those that stand beside its
 * name, never one of another file.
 * @param text the file; see checksum-file.ts for the forms that are read
 * @param imageUrl `urls[0]`: the last component of its path is the name to look for, matched literally
 * @param algo from os_hash_algo; null: the strongest there is
 */
export function hashFromChecksumFile(
  text: string,
  imageUrl: string,
  algo: string | null,
  md5Enabled: boolean,
): ExpectedHash {
  const lineCount = contentOf(text).length
  if (lineCount === 0) throw refused('Empty checksum file')
  const only = onlyDigestOf(text)
  if (only) return expectedHash(only.digest, algo ?? only.algo, 'the checksum file', md5Enabled)
  const lines = linesOf(text, imageUrl, algo)
  const name = new URL(imageUrl).pathname.split('/').at(-1)
  if (lines.length === 0) {
    throw refused(`Checksum file does not contain name ${name} (${lineCount} lines)`)
  }
  const chosen = lines.some((line) => line.algo === algo)
    ? lines.filter((line) => line.algo === algo)
    : strongestOf(lines, md5Enabled)
  const [line] = chosen as [ChecksumLine]
  if (chosen.some(({ digest }) => digest !== line.digest)) {
    throw refused(`Checksum file has several ${line.algo} digests for ${name}; name the image once`)
  }
  if (algo !== null && line.algo !== algo) {
    throw refused(`Checksum file has ${line.algo} for ${name}, os_hash_algo is ${algo}`)
  }
  return expectedHash(line.digest, line.algo, 'the checksum file', md5Enabled)
}

/** All lines of the strongest algorithm; MD5 alone stays, to be refused by its name. */
function strongestOf(lines: readonly ChecksumLine[], md5Enabled: boolean): ChecksumLine[] {
  const usable = lines.filter((line) => line.algo !== 'md5' || md5Enabled)
  const [best] = (usable.length > 0 ? usable : lines).toSorted(
    (a, b) => strengthOf(a.algo) - strengthOf(b.algo),
  )
  return lines.filter((line) => line.algo === best?.algo)
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

function refused(details: string): AgentError {
  return new AgentError('ImageChecksumError', details, { kind: 'operator' })
}
