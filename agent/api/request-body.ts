// SPDX-License-Identifier: Apache-2.0
// Owns reading the JSON body of a request as it arrives, in bounded memory: a config drive comes up to three
// times in one (both arguments of write_image, and the node's instance_info) and is held once. Does not tell strings
// from the rest (json-scanner.ts) and does not know commands.
import { randomUUID } from 'node:crypto'
import { KiB, MiB } from '../core/units.ts'
import { type JsonParts, JsonScanner } from './json-scanner.ts'
import { createLongText, type LongText } from './long-text.ts'

/** base64 of a gzip of the largest config drive (64 MiB), with line ends. */
const LONGEST_TEXT_BYTES = 96 * MiB
/** All of a body but its long texts. A node has some ten KiB. */
const MOST_OTHER_BYTES = 8 * MiB
/** From here on a text is a long one. */
const LONG_BYTES = 256 * KiB
/** All three of them. */
export const MAX_BODY_BYTES = 3 * LONGEST_TEXT_BYTES + MOST_OTHER_BYTES

/** The body has more than is read. */
export class BodyTooLargeError extends Error {
  readonly statusCode = 413
}

export interface BodyReader {
  /** Throws BodyTooLargeError, SyntaxError. The bytes are not kept. */
  write(bytes: Buffer): void
  /**
   * What JSON.parse says of all of it, but that a config drive of more than 256 KiB is a Buffer of its text, and
   * equal ones are the same: as a string it would be held twice. Throws BodyTooLargeError, SyntaxError.
   */
  end(): unknown
}

/** @param onLongText called before the first long text takes memory; what it throws ends the reading */
export function createBodyReader(onLongText: () => void): BodyReader {
  const body = new Body(onLongText)
  const scanner = new JsonScanner(body)
  return { write: (bytes) => scanner.write(bytes), end: () => body.parse() }
}

/** The string that is open, without its quotes. */
interface OpenString {
  /** Where it begins in what is no long text. */
  readonly at: number
  bytes: number
  long: LongText | undefined
}

class Body implements JsonParts {
  readonly #onLongText: () => void
  /** Stands for a long text in the rest; nobody can know it. */
  readonly #mark = randomUUID()
  /** The long texts, each once. */
  readonly #texts: Buffer[] = []
  /** Which of them the marks mean, in their order. */
  readonly #references: Buffer[] = []
  /** All but the long texts. What is never written of it takes no memory. */
  readonly #others = Buffer.allocUnsafeSlow(MOST_OTHER_BYTES)
  #otherBytes = 0
  #open: OpenString = { at: 0, bytes: 0, long: undefined }

  constructor(onLongText: () => void) {
    this.#onLongText = onLongText
  }

  outside(bytes: Buffer): void {
    this.#keep(bytes)
  }

  opened(): void {
    this.#open = { at: this.#otherBytes, bytes: 0, long: undefined }
  }

  inside(bytes: Buffer): void {
    const open = this.#open
    open.bytes += bytes.length
    if (open.bytes > LONG_BYTES) open.long ??= this.#moveOut(open)
    try {
      if (open.long) open.long.write(bytes)
      else this.#keep(bytes)
    } catch (error) {
      throw error instanceof RangeError ? tooLarge(LONGEST_TEXT_BYTES) : error
    }
  }

  closed(): void {
    const text = this.#open.long?.end()
    if (text === undefined) return
    if (!this.#texts.includes(text)) this.#texts.push(text)
    this.#references.push(text)
    this.#keep(Buffer.from(`${this.#mark}${this.#references.length - 1}`))
  }

  /** See {@link BodyReader.end}. */
  parse(): unknown {
    const json = this.#others.toString('utf8', 0, this.#otherBytes)
    if (this.#references.length === 0) return JSON.parse(json)
    let stringBytes = 0
    return JSON.parse(json, (key, value) => {
      if (typeof value !== 'string' || !value.startsWith(this.#mark)) return value
      const text = this.#references[Number(value.slice(this.#mark.length))] as Buffer
      if (key === 'configdrive') return text
      stringBytes += text.length
      if (stringBytes > MOST_OTHER_BYTES) throw tooLarge(MOST_OTHER_BYTES)
      return text.toString('latin1')
    })
  }

  /** The open string turns out to be a long one: what came of it leaves the rest. */
  #moveOut({ at }: OpenString): LongText {
    if (this.#texts.length === 0) this.#onLongText()
    const long = createLongText(LONGEST_TEXT_BYTES, this.#texts)
    long.write(this.#others.subarray(at, this.#otherBytes))
    this.#otherBytes = at
    return long
  }

  #keep(bytes: Buffer): void {
    if (this.#otherBytes + bytes.length > MOST_OTHER_BYTES) throw tooLarge(MOST_OTHER_BYTES)
    bytes.copy(this.#others, this.#otherBytes)
    this.#otherBytes += bytes.length
  }
}

/** @param bytes the bound that was met, a number of MiB */
export function tooLarge(bytes: number): BodyTooLargeError {
  return new BodyTooLargeError(
    `Request body is too large: at most ${bytes / MiB} MiB of it are read`,
  )
}
