// SPDX-License-Identifier: Apache-2.0
// Owns telling strings from the rest of a JSON text while its bytes arrive, and how deep the rest goes. Does not know
// whether it is JSON otherwise: whoever parses it does.

/** A node has five levels or so; a parser takes up to 80 bytes for each, of a body that is nothing else. */
const MOST_DEPTH = 100

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPENING = new Set(Buffer.from('[{'))
const CLOSING = new Set(Buffer.from(']}'))

/** Takes the bytes in their order. They are only valid during the call. */
export interface JsonParts {
  /** What is in no string, with the quotes of strings. */
  outside(bytes: Buffer): void
  /** A string begins after its quote. */
  opened(): void
  inside(bytes: Buffer): void
  /** The string has ended; its quote comes next. */
  closed(): void
}

export class JsonScanner {
  readonly #parts: JsonParts
  #isInside = false
  /** The next byte belongs to a backslash before. */
  #isEscaped = false
  #depth = 0

  constructor(parts: JsonParts) {
    this.#parts = parts
  }

  /** Throws SyntaxError for more than 100 levels, and what the parts throw. */
  write(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      at = this.#isInside ? this.#goOnInside(bytes, at) : this.#goOnOutside(bytes, at)
    }
  }

  /** @returns where to go on */
  #goOnOutside(bytes: Buffer, at: number): number {
    const quote = bytes.indexOf(QUOTE, at)
    const end = quote === -1 ? bytes.length : quote + 1
    const part = bytes.subarray(at, end)
    this.#countDepth(part)
    this.#parts.outside(part)
    if (quote === -1) return end
    this.#isInside = true
    this.#parts.opened()
    return end
  }

  /** @returns where to go on */
  #goOnInside(bytes: Buffer, at: number): number {
    const quote = this.#endOfString(bytes, at)
    this.#parts.inside(bytes.subarray(at, quote === -1 ? bytes.length : quote))
    if (quote === -1) return bytes.length
    this.#isInside = false
    this.#parts.closed()
    this.#parts.outside(bytes.subarray(quote, quote + 1))
    return quote + 1
  }

  /** Where the open string ends from `at` on; -1 if it goes on. */
  #endOfString(bytes: Buffer, at: number): number {
    let from = at
    if (this.#isEscaped && from < bytes.length) {
      this.#isEscaped = false
      from += 1
    }
    for (;;) {
      const quote = bytes.indexOf(QUOTE, from)
      const before = quote === -1 ? bytes : bytes.subarray(0, quote)
      const backslash = before.indexOf(BACKSLASH, from)
      if (backslash === -1) return quote
      from = backslash + 2
      if (from > bytes.length) {
        this.#isEscaped = true
        return -1
      }
    }
  }

  #countDepth(bytes: Buffer): void {
    for (const byte of bytes) {
      if (CLOSING.has(byte)) this.#depth -= 1
      else if (OPENING.has(byte) && ++this.#depth > MOST_DEPTH) {
        throw new SyntaxError(`more than ${MOST_DEPTH} levels deep`)
      }
    }
  }
}
