// SPDX-License-Identifier: Apache-2.0
// Owns reading what Ironic sent as config drive (contract 5.3.8): base64 of a gzip, or the url of one, or of the
// raw image. In parts, as often as asked: the text or the body stays as it came, and the image, which may be
// 64 MiB, is never whole in memory. Does not fetch; it is given a function.
import { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { AgentError, isAgentError, messageOf } from '../../core/errors.ts'
import { formatBytes, KiB, MiB } from '../../core/units.ts'

/** Largest config drive of a whole-disk image, and the size of a new partition for it. */
export const MAX_CONFIG_DRIVE_BYTES = 64 * MiB
/** base64 of the largest gzip of it, with line ends. */
const MAX_TEXT_LENGTH = 96 * MiB
/** Decoded at once: characters of base64, bytes of a gzip. */
const STEP = 256 * KiB
/** Enough to tell ISO 9660 (descriptor at 32 KiB) and FAT. */
const HEAD_BYTES = 64 * KiB

/** Bytes that need not be in memory all at once. */
export interface ByteParts {
  readonly sizeBytes: number
  /** All bytes from the first on; each call begins anew. A part is valid until the next is asked for. */
  parts(): AsyncIterable<Uint8Array>
}

/** The file system image of a config drive. */
export interface ConfigDriveImage extends ByteParts {
  /** Its first 64 KiB, or all of a smaller one. */
  readonly head: Uint8Array
}

/** Fetches a config drive url; rejects for a status >= 400 and for more than `MAX_TEXT_LENGTH` bytes. */
export type FetchConfigDrive = (url: string) => Promise<Uint8Array>

/**
 * The file system image in what Ironic sent: base64 of a gzip, or the http(s) url of one, or of the raw
 * image. It is decoded once to its end, so that it will not fail later. Throws DeploymentError if it is
 * neither, broken, or larger than 64 MiB.
 * @param text its bytes where it is long
 */
export async function decodeConfigDrive(
  text: string | Uint8Array,
  fetchUrl: FetchConfigDrive,
): Promise<ConfigDriveImage> {
  const isUrl = typeof text === 'string' && /^https?:\/\//i.test(text)
  const source = isUrl
    ? fromBody(await fetchOrThrow(text, fetchUrl))
    : unpacked(fromBase64(bufferOf(text)))
  return await measured(source)
}

/** The image in one piece, for who has to look here and there in it. */
export async function loadWhole({ sizeBytes, parts }: ByteParts): Promise<Uint8Array> {
  const whole = new Uint8Array(sizeBytes)
  let at = 0
  for await (const part of parts()) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** An image that is in memory already. */
export function inMemory(image: Uint8Array): ConfigDriveImage {
  return { sizeBytes: image.length, head: image.subarray(0, HEAD_BYTES), parts: () => cut(image) }
}

async function fetchOrThrow(url: string, fetchUrl: FetchConfigDrive): Promise<Uint8Array> {
  try {
    return await fetchUrl(url)
  } catch (error) {
    if (isAgentError(error, 'CancelledError')) throw error
    throw new AgentError('DeploymentError', `cannot fetch the config drive: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

/** The same bytes, not copied. */
function bufferOf(text: string | Uint8Array): Buffer {
  if (typeof text === 'string') return Buffer.from(text)
  return Buffer.from(text.buffer, text.byteOffset, text.byteLength)
}

type Parts = () => AsyncIterable<Uint8Array>

function fromBody(body: Uint8Array): Parts {
  if (isGzip(body)) return unpacked(() => cut(body))
  return isBase64Text(body) ? unpacked(fromBase64(bufferOf(body))) : () => cut(body)
}

async function* cut(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += STEP) yield bytes.subarray(at, at + STEP)
}

/** Python's lenient way: what is not of the alphabet is skipped, and the first padding is the end. */
function fromBase64(text: Buffer): Parts {
  if (text.length > MAX_TEXT_LENGTH) throw tooLarge(`${formatBytes(text.length)} of base64`)
  const padding = text.indexOf('=')
  const end = padding === -1 ? text.length : padding
  return async function* () {
    let left = ''
    for (let at = 0; at < end; at += STEP) {
      const letters =
        left +
        text.toString('latin1', at, Math.min(at + STEP, end)).replace(/[^A-Za-z0-9+/_-]+/g, '')
      // four letters are three bytes: the others wait for their neighbours
      const whole = letters.length - (letters.length % 4)
      left = letters.slice(whole)
      if (whole > 0) yield Buffer.from(letters.slice(0, whole), 'base64')
    }
    if (left !== '') yield Buffer.from(left, 'base64')
  }
}

/** Decided by the beginning: no file system begins with a page of letters. */
function isBase64Text(body: Uint8Array): boolean {
  const start = Buffer.from(body.subarray(0, 4096)).toString('latin1')
  return /^[A-Za-z0-9+/=\s]+$/.test(start)
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b
}

function unpacked(packed: Parts): Parts {
  return async function* () {
    const source = Readable.from(packed(), { objectMode: true, highWaterMark: 1 })
    const gunzip = createGunzip({ chunkSize: STEP })
    source.pipe(gunzip)
    try {
      for await (const part of gunzip) yield part as Buffer
    } catch (error) {
      throw brokenGzip(error)
    } finally {
      source.destroy()
    }
  }
}

/** Decodes once, to know the size and that all of it can be decoded. */
async function measured(parts: Parts): Promise<ConfigDriveImage> {
  const head = new Uint8Array(HEAD_BYTES)
  let sizeBytes = 0
  for await (const part of parts()) {
    if (sizeBytes < HEAD_BYTES) head.set(part.subarray(0, HEAD_BYTES - sizeBytes), sizeBytes)
    sizeBytes += part.length
    if (sizeBytes > MAX_CONFIG_DRIVE_BYTES) throw tooLarge('more than 64 MiB')
  }
  if (sizeBytes === 0) throw new AgentError('DeploymentError', 'the config drive is empty')
  return { sizeBytes, head: head.subarray(0, sizeBytes), parts }
}

function tooLarge(size: string): AgentError {
  return new AgentError(
    'DeploymentError',
    `the config drive has ${size}; at most ${formatBytes(MAX_CONFIG_DRIVE_BYTES)} are possible`,
  )
}

function brokenGzip(error: unknown): AgentError {
  if (isAgentError(error)) return error
  const reason = messageOf(error)
  // zlib's word for bytes that begin like no gzip
  const what = reason.includes('incorrect header check')
    ? 'the config drive is not a base64-encoded gzip; pass the output of `gzip -c image | base64`'
    : `the gzip of the config drive is broken: ${reason}`
  return new AgentError('DeploymentError', what, { cause: error })
}
