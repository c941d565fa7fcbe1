// SPDX-License-Identifier: Apache-2.0
// Owns reading the JSON body of a request as it arrives, in bounded memory: a config drive comes up to three
// times in one (both arguments of write_image, and the node's instance_info) and is held once. Does not know
// commands.
import { randomUUID } from 'node:crypto'
import { KiB, MiB } from '../core/units.ts'
import { createLongText, type LongText } from './long-text.ts'

/** base64 of a gzip of the largest config drive (64 MiB), with line ends. */
const LONGEST_TEXT_BYTES = 96 * MiB
/** All of a body but its long texts. A node has some ten KiB. */
const MOST_OTHER_BYTES = 8 * MiB
/** From here on a text is a long one. */
const LONG_BYTES = 256 * KiB
/** All three of them. */
export const MAX_BODY_BYTES = 3 * LONGEST_TEXT_BYTES + MOST_OTHER_BYTES

/** A node has five levels or so; a parser takes up to 80 bytes for each, of a body that is nothing else. */
const MOST_DEPTH = 100

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPENING = new Set(Buffer.from('[{'))
const CLOSING = new Set(Buffer.from(']}'))

/** The body has more than is read. */
export class BodyTooLargeError extends Error {
  readonly statusCode = 413
}

export interface BodyReader {
  /** Throws BodyTooLargeError, SyntaxError. The bytes are not kept. */
  write(chunk: Buffer): void
  /**
   * What JSON.parse says of all of it, but that a config drive of more than 256 KiB is a Buffer of its text, and
   * equal ones are the same: as a string it would be held twice. Throws BodyTooLargeError, SyntaxError.
   */
  end(): unknown
}

/** The string that is open, without its quotes. */
interface OpenString {
  /** Where it begins in what is no long text. */
  readonly at: number
  bytes: number
  long: LongText | undefined
}

/** @param onLongText called before the first long text takes memory; what it throws ends the reading */
export function createBodyReader(onLongText: () => void): BodyReader {
  // stands for a long text in the rest; nobody can know it
  const mark = randomUUID()
  const texts: Buffer[] = []
  const references: Buffer[] = []
  // what is never written of it takes no memory
  const others = Buffer.allocUnsafeSlow(MOST_OTHER_BYTES)
  let otherBytes = 0
  let depth = 0
  let string: OpenString | undefined
  let isEscaped = false

  const keep = (bytes: Buffer) => {
    if (otherBytes + bytes.length > MOST_OTHER_BYTES) throw tooLarge(MOST_OTHER_BYTES)
    bytes.copy(others, otherBytes)
    otherBytes += bytes.length
  }

  const takeString = (bytes: Buffer, open: OpenString) => {
    open.bytes += bytes.length
    if (open.long === undefined && open.bytes > LONG_BYTES) {
      if (texts.length === 0) onLongText()
      open.long = createLongText(LONGEST_TEXT_BYTES, texts)
      open.long.write(others.subarray(open.at, otherBytes))
      otherBytes = open.at
    }
    if (open.long === undefined) return keep(bytes)
    try {
      open.long.write(bytes)
    } catch (error) {
      throw error instanceof RangeError ? tooLarge(LONGEST_TEXT_BYTES) : error
    }
  }

  const closeString = ({ long }: OpenString) => {
    if (long === undefined) return
    const text = long.end()
    if (!texts.includes(text)) texts.push(text)
    references.push(text)
    keep(Buffer.from(`${mark}${references.length - 1}`))
  }

  /** Where the open string ends in `chunk` from `at` on; -1 if it goes on. */
  const endOfString = (chunk: Buffer, at: number): number => {
    let from = at
    if (isEscaped && from < chunk.length) {
      isEscaped = false
      from += 1
    }
    for (;;) {
      const quote = chunk.indexOf(QUOTE, from)
      const before = quote === -1 ? chunk : chunk.subarray(0, quote)
      const backslash = before.indexOf(BACKSLASH, from)
      if (backslash === -1) return quote
      from = backslash + 2
      if (from > chunk.length) {
        isEscaped = true
        return -1
      }
    }
  }

  const countDepth = (bytes: Buffer) => {
    for (const byte of bytes) {
      if (CLOSING.has(byte)) depth -= 1
      else if (OPENING.has(byte) && ++depth > MOST_DEPTH) {
        throw new SyntaxError(`more than ${MOST_DEPTH} levels deep`)
      }
    }
  }

  /** @returns where to go on */
  const takeOutside = (chunk: Buffer, at: number): number => {
    const quote = chunk.indexOf(QUOTE, at)
    const end = quote === -1 ? chunk.length : quote + 1
    const bytes = chunk.subarray(at, end)
    countDepth(bytes)
    keep(bytes)
    if (quote !== -1) string = { at: otherBytes, bytes: 0, long: undefined }
    return end
  }

  /** @returns where to go on */
  const takeInside = (chunk: Buffer, at: number, open: OpenString): number => {
    const quote = endOfString(chunk, at)
    takeString(chunk.subarray(at, quote === -1 ? chunk.length : quote), open)
    if (quote === -1) return chunk.length
    closeString(open)
    keep(chunk.subarray(quote, quote + 1))
    string = undefined
    return quote + 1
  }

  return {
    write: (chunk) => {
      for (let at = 0; at < chunk.length; ) {
        at = string === undefined ? takeOutside(chunk, at) : takeInside(chunk, at, string)
      }
    },
    end: () => {
      const json = others.toString('utf8', 0, otherBytes)
      if (references.length === 0) return JSON.parse(json)
      let stringBytes = 0
      return JSON.parse(json, (key, value) => {
        if (typeof value !== 'string' || !value.startsWith(mark)) return value
        const text = references[Number(value.slice(mark.length))] as Buffer
        if (key === 'configdrive') return text
        stringBytes += text.length
        if (stringBytes > MOST_OTHER_BYTES) throw tooLarge(MOST_OTHER_BYTES)
        return text.toString('latin1')
      })
    },
  }
}

/** @param bytes the bound that was met, a number of MiB */
export function tooLarge(bytes: number): BodyTooLargeError {
  return new BodyTooLargeError(
    `Request body is too large: at most ${bytes / MiB} MiB of it are read`,
  )
}
