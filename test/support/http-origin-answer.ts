// SPDX-License-Identifier: Apache-2.0
// Owns what the test origin answers: bodies, refusals, Range, and the sending with its faults. Does not
// listen (http-origin.ts).
import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { HttpOriginFaults, HttpOriginOptions } from './http-origin.ts'

export interface Body {
  readonly sizeBytes: number
  readonly etag: string
  read(offset: number, length: number): Promise<Uint8Array>
}

const SLICE_BYTES = 256 * 1024

export function toBytes(content: string | Uint8Array): Uint8Array {
  return typeof content === 'string' ? new TextEncoder().encode(content) : content
}

export function memoryBody(bytes: Uint8Array): Body {
  return {
    sizeBytes: bytes.length,
    etag: `"${createHash('sha1').update(bytes).digest('hex').slice(0, 16)}"`,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
  }
}

export async function fileBody(file: FileHandle): Promise<Body> {
  const { size, mtimeMs } = await file.stat()
  return {
    sizeBytes: size,
    etag: `"${Math.round(mtimeMs).toString(16)}-${size.toString(16)}"`,
    read: async (offset, length) => {
      const target = new Uint8Array(length)
      const { bytesRead } = await file.read(target, 0, length, offset)
      return target.subarray(0, bytesRead)
    },
  }
}

interface Refusal {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
}

export function refusalOf(
  faults: HttpOriginFaults,
  { auth, redirects }: HttpOriginOptions,
  request: IncomingMessage,
  path: string,
): Refusal | undefined {
  const status = faults.statuses?.shift() ?? faults.status
  if (status !== undefined) {
    const headers: Record<string, string> = faults.retryAfter
      ? { 'retry-after': faults.retryAfter }
      : {}
    return { status, headers, body: `status ${status}\n` }
  }
  if (auth && request.headers.authorization !== expectedAuthorization(auth)) {
    return { status: 401, headers: { 'www-authenticate': 'Basic realm="images"' }, body: 'no\n' }
  }
  const location = redirects?.[path] ?? faults.redirectTo
  if (location !== undefined) return { status: 302, headers: { location }, body: '' }
  return undefined
}

function expectedAuthorization(auth: NonNullable<HttpOriginOptions['auth']>): string {
  if ('authorization' in auth) return auth.authorization
  return `Basic ${Buffer.from(`${auth.user}:${auth.password}`).toString('base64')}`
}

interface AnswerPlan {
  readonly status: number
  readonly headers: Record<string, string | number>
  readonly start: number
  readonly end: number
}

export function planAnswer(
  body: Body,
  faults: HttpOriginFaults,
  request: IncomingMessage,
): AnswerPlan {
  const size = Math.min(faults.objectBytes ?? body.sizeBytes, body.sizeBytes)
  const headers = entityHeaders(body, faults)
  const total = faults.claimTotalBytes ?? size
  const range = faults.ignoreRange ? undefined : rangeOf(request, size)
  if (!range || !isCurrent(request, headers, faults)) {
    if (!faults.chunked) headers['content-length'] = faults.claimLengthBytes ?? total
    return { status: 200, headers, start: 0, end: size }
  }
  if (range.start >= size || faults.rangeNotSatisfiable) {
    headers['content-range'] = `bytes */${total}`
    return { status: 416, headers, start: 0, end: 0 }
  }
  const shift = faults.contentRangeShift ?? 0
  const [start, end] = [range.start + shift, Math.min(range.end + shift, size)]
  if (!faults.chunked) headers['content-length'] = end - start
  headers['content-range'] = `bytes ${start}-${end - 1}/${total}`
  return { status: 206, headers, start, end }
}

function entityHeaders(body: Body, faults: HttpOriginFaults): Record<string, string | number> {
  const etag = faults.etag === undefined ? body.etag : faults.etag
  const modified =
    faults.lastModified === undefined ? 'Sat, 01 Nov 2025 00:00:00 GMT' : faults.lastModified
  return {
    'content-type': 'application/octet-stream',
    ...(etag === null ? {} : { etag }),
    ...(modified === null ? {} : { 'last-modified': modified }),
    ...(faults.ignoreRange ? {} : { 'accept-ranges': 'bytes' }),
  }
}

/** RFC 9110 13.1.5: If-Range compares strongly. */
function isCurrent(
  request: IncomingMessage,
  headers: Record<string, string | number>,
  faults: HttpOriginFaults,
): boolean {
  const condition = request.headers['if-range']
  if (typeof condition !== 'string' || faults.ignoreIfRange) return true
  if (condition.startsWith('W/')) return false
  return condition === headers['etag'] || condition === headers['last-modified']
}

function rangeOf(
  request: IncomingMessage,
  size: number,
): { start: number; end: number } | undefined {
  const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
  if (!match) return undefined
  const start = Number(match[1])
  return { start, end: Math.min(match[2] ? Number(match[2]) + 1 : size, size) }
}

interface Cut {
  readonly after: number
  readonly how: 'reset' | 'truncate' | 'stall'
}

export function takeCut(faults: HttpOriginFaults): Cut | undefined {
  const reset = faults.resetAfterBytes?.shift()
  if (reset !== undefined) return { after: reset, how: 'reset' }
  const truncate = faults.truncateAfterBytes?.shift()
  if (truncate !== undefined) return { after: truncate, how: 'truncate' }
  const stall = faults.stallAfterBytes?.shift()
  return stall === undefined ? undefined : { after: stall, how: 'stall' }
}

/** Sends the planned part of the body, with what goes wrong on the way. */
export async function send(
  plan: AnswerPlan,
  cut: Cut | undefined,
  faults: HttpOriginFaults,
  body: Body,
  response: ServerResponse,
  onSent: (count: number) => Promise<void>,
): Promise<void> {
  response.flushHeaders()
  const end = cut ? Math.min(plan.end, plan.start + cut.after) : plan.end
  for (let at = plan.start; at < end; ) {
    if (response.destroyed) return
    const bytes = await body.read(at, Math.min(SLICE_BYTES, end - at))
    if (bytes.length === 0) break
    response.write(withFlippedByte(bytes, (faults.corruptAt ?? -1) - at))
    await onSent(bytes.length)
    // asked for only now: the drain may have come while the pace held us up
    if (response.writableNeedDrain && !response.destroyed) await drained(response)
    at += bytes.length
  }
  if (!cut) return void response.end()
  if (cut.how === 'stall') return
  // what was written must have left this process before the connection ends
  await new Promise<void>((resolve) => response.write('', () => resolve()))
  if (cut.how === 'reset') response.socket?.resetAndDestroy()
  else response.socket?.end()
}

/** The same bytes, or a copy with the byte at `index` inverted where it lies in them. */
function withFlippedByte(bytes: Uint8Array, index: number): Uint8Array {
  if (index < 0 || index >= bytes.length) return bytes
  const copy = Uint8Array.from(bytes)
  copy[index] = (copy[index] as number) ^ 0xff
  return copy
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done)
      response.off('close', done)
      resolve()
    }
    response.on('drain', done)
    response.on('close', done)
  })
}
