// SPDX-License-Identifier: Apache-2.0
// Owns reading checksum files as their makers write them: which lines are of an image, with which algorithm.
// Does not choose between hashes (checksum.ts). Pure; linear in the length of the file.
import { algorithmNamed } from './hash-algorithm.ts'

/** A digest that a file gives for a path. */
export interface ChecksumLine {
  readonly path: string
  /** Ironic's name; by the line's own tag, else by the number of digits. */
  readonly algo: string
  /** Lower-case hex. */
  readonly digest: string
}

/** The algorithm a digest without a tag means. SHA-1 is not among them: contract 5.3.3 knows none. */
const BY_DIGITS: ReadonlyMap<number, string> = new Map([
  [32, 'md5'],
  [56, 'sha224'],
  [64, 'sha256'],
  [96, 'sha384'],
  [128, 'sha512'],
])

/** Longer than any path and digest. */
const MAX_LINE_LENGTH = 8192

/**
 * The digests of the image in a checksum file: of those lines that fit its url best.
 * @param imageUrl its path is compared from the end: the last part must be the same, whatever folders stand
 *   before it in the file; of several lines that one wins which the folders of the url fit best
 * @param algo of digests without a tag that have as many digits; null: see BY_DIGITS
 */
export function linesOf(text: string, imageUrl: string, algo: string | null): ChecksumLine[] {
  const lines = contentOf(text).flatMap((line) => parseLine(line, algo))
  const urlPaths = pathsOf(imageUrl)
  const fitting = lines.flatMap((line) => {
    const fits = urlPaths.flatMap((path) => fitOf(path, segmentsOf(line.path)) ?? [])
    return fits.length === 0 ? [] : [{ line, fit: Math.max(...fits) }]
  })
  const best = fitting.reduce((most, { fit }) => Math.max(most, fit), Number.NEGATIVE_INFINITY)
  return fitting.filter(({ fit }) => fit === best).map(({ line }) => line)
}

/** The digest of a file that holds nothing but one: alone, as `sha256:…`, or of standard input. */
export function onlyDigestOf(text: string): { digest: string; algo: string | null } | undefined {
  const [line, ...others] = contentOf(text)
  if (line === undefined || others.length > 0) return undefined
  if (!/\s/.test(line)) {
    const [tag = '', digest] = line.split(':')
    const algo = digest === undefined ? undefined : algorithmNamed(tag)
    return digest !== undefined && algo !== undefined
      ? { digest, algo }
      : { digest: line, algo: null }
  }
  return parseLine(line, null).find(({ path }) => path === '-' || path === 'stdin')
}

/** Lines with something in them, without comments. */
export function contentOf(text: string): string[] {
  return text
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
}

/** `hex  path`, `hex *path`, `hex size path`, `path hex`, `path: hex`, `TAG (path) = hex`, `TAG(path)= hex`. */
function parseLine(line: string, algo: string | null): ChecksumLine[] {
  if (line.length > MAX_LINE_LENGTH) return []
  const tagged = /^([a-z][\w/-]{1,20}) ?\((.*)\) ?= ?([0-9a-f]{1,256})$/i.exec(line)
  if (tagged) return known(tagged[2] as string, tagged[3] as string, tagged[1] as string, algo)
  // coreutils marks a line whose name is escaped
  const words = line.replace(/^\\/, '')
  const first = words.search(/\s/)
  const last = Math.max(words.lastIndexOf(' '), words.lastIndexOf('\t'))
  if (first < 0) return []
  const rest = words.slice(first).trim()
  const sized = /^\d{1,20}\s+(\S.*)$/.exec(rest)?.[1]
  return [
    ...known(rest.replace(/^\*/, ''), words.slice(0, first), null, algo),
    ...(sized === undefined ? [] : known(sized, words.slice(0, first), null, algo)),
    ...known(withoutSeparator(words.slice(0, last)), words.slice(last + 1), null, algo),
  ]
}

/** `path: ` and `path = ` without what stands before the digest. */
function withoutSeparator(text: string): string {
  const path = text.trimEnd()
  return /[:=]$/.test(path) ? path.slice(0, -1).trimEnd() : path
}

/** Nothing for what is no digest, and for a tag that is not known: its digits would pass for another's. */
function known(
  path: string,
  text: string,
  tag: string | null,
  algo: string | null,
): ChecksumLine[] {
  if (!/^[0-9a-f]+$/i.test(text)) return []
  const wanted = algo === null ? undefined : algorithmNamed(algo, text.length)
  const name = tag === null ? (wanted ?? BY_DIGITS.get(text.length)) : algorithmNamed(tag)
  if (name === undefined || algorithmNamed(name, text.length) === undefined) return []
  return [{ path, algo: name, digest: text.toLowerCase() }]
}

/** As the url spells its path, and decoded: both occur in checksum files. */
function pathsOf(imageUrl: string): string[][] {
  const { pathname } = new URL(imageUrl)
  return [pathname, decodeOrSame(pathname)].map((path) => path.split('/'))
}

function decodeOrSame(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

function segmentsOf(path: string): string[] {
  const separator = path.includes('/') ? '/' : '\\'
  return path.split(separator).filter((part) => part !== '' && part !== '.')
}

/** Folders in agreement count for a line, others more against it; undefined if it is another file's. */
function fitOf(urlPath: readonly string[], segments: readonly string[]): number | undefined {
  const [ours, theirs] = [urlPath.toReversed(), segments.toReversed()]
  const firstOther = theirs.findIndex((part, i) => part !== ours[i])
  const same = firstOther < 0 ? theirs.length : firstOther
  if (same === 0) return undefined
  return same - MAX_LINE_LENGTH * (theirs.length - same)
}
