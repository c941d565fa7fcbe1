// SPDX-License-Identifier: Apache-2.0
// Owns the judgement of an answer's head: status, Content-Range, lengths, entity. Pure.
import { AgentError, type ErrorKind } from '../../core/errors.ts'
import { endOf, type FileRange } from '../../core/extent.ts'
import { redactUrl } from '../../core/redact.ts'
import type { HttpHead, HttpHeaders } from '../../http/exchange.ts'

/** What tells one version of the image from another (RFC 9110 8.8). */
export interface Entity {
  readonly etag: string | null
  readonly lastModified: string | null
}

/** A good answer: which bytes of the image its body holds. */
export interface Answer {
  /** Offset of the first byte of the body in the image. */
  readonly start: number
  /** First offset after the body; null when the server does not tell. */
  readonly end: number | null
  /** Size of the whole image by this server; null when it does not tell. */
  readonly totalBytes: number | null
  /** True for 206. */
  readonly isPartial: boolean
  readonly entity: Entity
}

/** An answer without the bytes asked for; `retryAfterMs` is the wait the server wishes. */
export class BadAnswer extends AgentError {
  readonly httpStatus: number
  readonly retryAfterMs: number

  constructor(details: string, kind: ErrorKind, httpStatus: number, retryAfterMs = 0) {
    super(kind === 'fatal' ? 'ImageDownloadFatalError' : 'ImageDownloadError', details, { kind })
    this.httpStatus = httpStatus
    this.retryAfterMs = retryAfterMs
  }
}

/**
 * Reads the head of an answer to a GET.
 * @param range what was asked for; undefined if the whole image
 * @throws BadAnswer: `transient` may be asked again, `source` another url must help, `fatal` none can
 */
export function judgeHead(head: HttpHead, range: FileRange | undefined): Answer {
  refuseStatus(head, range)
  const refuse = (what: string) =>
    new BadAnswer(`${redactUrl(head.url)}: ${what}`, 'source', head.status)
  const encoding = codingOf(head.headers)
  if (encoding !== undefined) {
    throw refuse(
      `Content-Encoding ${encoding} although identity was asked for; serve the image as it is`,
    )
  }
  const entity = entityOf(head.headers)
  const length = lengthOf(head.headers)
  if (head.status === 200) {
    return { start: 0, end: length, totalBytes: length, isPartial: false, entity }
  }
  const given = parseContentRange(textOf(head.headers, 'content-range'))
  if (!range || !given) {
    const shown = textOf(head.headers, 'content-range')?.slice(0, MAX_CONTENT_RANGE)
    throw refuse(
      `status 206 with Content-Range ${shown ?? 'missing'}, asked for ${rangeText(range)}`,
    )
  }
  if (given.start !== range.offset || given.end > endOf(range)) {
    throw refuse(
      `Content-Range names bytes ${given.start}-${given.end - 1}, asked for ${rangeText(range)}`,
    )
  }
  if (length !== null && length !== given.end - given.start) {
    throw refuse(
      `Content-Length ${length}, but Content-Range names ${given.end - given.start} bytes (${given.start}-${given.end - 1})`,
    )
  }
  return { start: given.start, end: given.end, totalBytes: given.total, isPartial: true, entity }
}

/** Throws if the server's idea of the image's size is not the plan's. */
export function requireSize(answer: Answer, totalBytes: number, url: string): void {
  if (answer.totalBytes === null || answer.totalBytes === totalBytes) return
  throw new BadAnswer(
    `${redactUrl(url)}: the server has ${answer.totalBytes} bytes, the image is expected to be ${totalBytes} bytes`,
    'source',
    answer.isPartial ? 206 : 200,
  )
}

/** True if both are known and differ: the image was replaced on the server. */
export function isOtherEntity(before: Entity | undefined, now: Entity): boolean {
  if (!before) return false
  if (before.etag !== null && now.etag !== null) return before.etag !== now.etag
  const isDated = before.lastModified !== null && now.lastModified !== null
  return isDated && before.lastModified !== now.lastModified
}

/** The If-Range header (RFC 9110 13.1.5): a strong entity tag, else the date, else none. */
export function ifRangeOf(entity: Entity | undefined): Record<string, string> {
  const strong = entity?.etag?.startsWith('"') ? entity.etag : undefined
  // with a weak tag the date would be the weaker promise still: let the tags be compared afterwards
  const value = strong ?? (entity?.etag ? undefined : entity?.lastModified)
  return value ? { 'if-range': value } : {}
}

export interface ContentRange {
  readonly start: number
  /** First byte after the range. */
  readonly end: number
  readonly total: number | null
}

const MAX_CONTENT_RANGE = 128
const CONTENT_RANGE = /^bytes *[ =:] *(\d{1,15}) *- *(\d{1,15}) *\/ *(\d{1,15}|\*)$/i

/** `bytes 0-99/1000` or `bytes 0-99/*`, however spaced; null for anything else. */
export function parseContentRange(text: string | null): ContentRange | null {
  // three numbers: what is longer would only keep the pattern busy
  const match = CONTENT_RANGE.exec((text ?? '').slice(0, MAX_CONTENT_RANGE).trim())
  if (!match) return null
  const start = Number(match[1])
  const end = Number(match[2]) + 1
  const total = match[3] === '*' ? null : Number(match[3])
  return end > start && (total === null || end <= total) ? { start, end, total } : null
}

/** `bytes=0-99`, the Range header of a range. */
export function rangeHeader(range: FileRange): string {
  return `bytes=${range.offset}-${endOf(range) - 1}`
}

function rangeText(range: FileRange | undefined): string {
  return range ? `bytes ${range.offset}-${endOf(range) - 1}` : 'the whole image'
}

function refuseStatus({ status, headers, url }: HttpHead, range: FileRange | undefined): void {
  if (status === 200 || status === 206) return
  const where = redactUrl(url)
  if (status === 401) {
    throw new BadAnswer(
      `${where}: status 401: the image server wants credentials or refuses those sent; set image_server_auth_strategy=http_basic with image_server_user and image_server_password, or image_request_authorization`,
      'fatal',
      status,
    )
  }
  if (status === 416) {
    const has = /^bytes \*\/(\d+)$/i.exec(textOf(headers, 'content-range') ?? '')?.[1]
    const size = has === undefined ? '' : `; the server has ${has} bytes`
    throw new BadAnswer(`${where}: status 416 for ${rangeText(range)}${size}`, 'source', status)
  }
  // 501 and 505: it will never know how
  const isTransient =
    (status >= 500 && status !== 501 && status !== 505) || [408, 425, 429].includes(status)
  throw new BadAnswer(
    `${where}: status ${status}`,
    isTransient ? 'transient' : 'source',
    status,
    retryAfterOf(headers),
  )
}

/** Retry-After in its form of seconds; the form of a date would need a clock both sides agree on. */
function retryAfterOf(headers: HttpHeaders): number {
  const text = textOf(headers, 'retry-after') ?? ''
  return /^\d{1,6}$/.test(text) ? Number(text) * 1000 : 0
}

/**
 * What the body is packed in although it was asked for as it is; undefined if in nothing. Object stores send
 * the header empty, with an upload's `aws-chunked`, or with what is a charset or a transfer encoding
 * (`utf-8`, `binary`): only what is registered as a coding, or was one, changes bytes (RFC 9110 8.4.1).
 */
function codingOf(headers: HttpHeaders): string | undefined {
  const words = [headers['content-encoding'] ?? []].flat().flatMap((value) => value.split(','))
  return words.map((word) => word.trim()).find((word) => CODINGS.has(word.toLowerCase()))
}

const CODINGS: ReadonlySet<string> = new Set([
  'gzip',
  'x-gzip',
  'deflate',
  'compress',
  'x-compress',
  'br',
  'zstd',
  'dcb',
  'dcz',
  'exi',
  'aes128gcm',
  'pack200-gzip',
  'bzip2',
  'x-bzip2',
  'xz',
  'lzma',
])

function entityOf(headers: HttpHeaders): Entity {
  return { etag: textOf(headers, 'etag'), lastModified: textOf(headers, 'last-modified') }
}

function lengthOf(headers: HttpHeaders): number | null {
  const text = textOf(headers, 'content-length')
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null
}

function textOf(headers: HttpHeaders, name: string): string | null {
  const value = headers[name]
  return (Array.isArray(value) ? value[0] : value) ?? null
}
