// SPDX-License-Identifier: Apache-2.0
// Owns reading untrusted bencode (BEP 3) within bounds: torrents and answers of trackers. Does not know
// what the keys mean.

/** Byte offsets of a value; `end` is the first byte after it. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** Texts are views of the bytes that were read. */
export type BencodeValue = number | Uint8Array | readonly BencodeValue[] | BencodeDictionary

/** Keys byte by byte, as latin1. */
export type BencodeDictionary = ReadonlyMap<string, BencodeValue>

export interface ReadRules {
  readonly maxDepth: number
  readonly maxItems: number
  /**
   * What is odd in one value does not spoil the others: of a repeated key the first counts, an integer that
   * is none, or beyond 2^53, is NaN. Without it both are refused.
   */
  readonly isLenient?: boolean
}

const [DIGIT_0, DIGIT_9, COLON, DICT, END, INT, LIST, MINUS] = [
  0x30, 0x39, 0x3a, 0x64, 0x65, 0x69, 0x6c, 0x2d,
]
/** Of an integer, more than any number of ours has. */
const MAX_INTEGER_CHARACTERS = 64

/**
 * Reads one dictionary, and where each of its values lies. Makers of torrents and trackers differ from BEP 3
 * in ways that change no value, so these are taken: keys in any order, a byte order mark or white space
 * before, anything behind. Throws Error for what is no bencode and for what is beyond the limits.
 */
export function readDictionary(
  bytes: Uint8Array,
  rules: ReadRules,
): { readonly entries: BencodeDictionary; readonly spans: ReadonlyMap<string, Span> } {
  const spans = new Map<string, Span>()
  const reader = new Reader(bytes, rules)
  const { value } = reader.dictionary(beginningOf(bytes), 0, (key, span) => spans.set(key, span))
  return { entries: value, spans }
}

/** The first byte that is neither of a byte order mark nor white space. */
function beginningOf(bytes: Uint8Array): number {
  let at = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
  for (let byte = bytes[at]; byte !== undefined && byte <= 0x20; byte = bytes[at]) at += 1
  return at
}

interface Read<T> {
  readonly value: T
  /** The offset after it. */
  readonly end: number
}

class Reader {
  readonly #bytes: Uint8Array
  readonly #rules: ReadRules
  #items = 0

  constructor(bytes: Uint8Array, rules: ReadRules) {
    this.#bytes = bytes
    this.#rules = rules
  }

  dictionary(
    at: number,
    depth: number,
    onEntry?: (key: string, span: Span) => void,
  ): Read<BencodeDictionary> {
    this.#enter(at, DICT, depth)
    const value = new Map<string, BencodeValue>()
    let position = at + 1
    while (this.#bytes[position] !== END) {
      const key = this.#text(position)
      const name = Buffer.from(key.value).toString('latin1')
      // an object key of this name would replace the prototype of what others decode
      if (name === '__proto__') throw new Error('forbidden key')
      const item = this.#value(key.end, depth + 1)
      if (!value.has(name)) {
        value.set(name, item.value)
        onEntry?.(name, { start: key.end, end: item.end })
      } else if (!this.#rules.isLenient) {
        // programs disagree which one counts
        throw new Error(`a key for the second time at byte ${position}`)
      }
      position = item.end
    }
    return { value, end: position + 1 }
  }

  #value(at: number, depth: number): Read<BencodeValue> {
    this.#items += 1
    if (this.#items > this.#rules.maxItems) throw new Error('too many values')
    switch (this.#bytes[at]) {
      case INT:
        return this.#rules.isLenient ? this.#anyInteger(at) : this.#integer(at)
      case LIST:
        return this.#list(at, depth)
      case DICT:
        return this.dictionary(at, depth)
      default:
        return this.#text(at)
    }
  }

  #list(at: number, depth: number): Read<BencodeValue[]> {
    this.#enter(at, LIST, depth)
    const value: BencodeValue[] = []
    let position = at + 1
    while (this.#bytes[position] !== END) {
      const item = this.#value(position, depth + 1)
      value.push(item.value)
      position = item.end
    }
    return { value, end: position + 1 }
  }

  #enter(at: number, kind: number, depth: number): void {
    if (this.#bytes[at] !== kind) throw new Error(`no bencoded value at byte ${at}`)
    if (depth >= this.#rules.maxDepth) throw new Error('nested too deeply')
  }

  #integer(at: number): Read<number> {
    const isNegative = this.#bytes[at + 1] === MINUS
    const { value, end } = this.#digits(at + (isNegative ? 2 : 1))
    if (isNegative && value === 0) throw new Error(`minus zero at byte ${at}`)
    if (this.#bytes[end] !== END) throw new Error(`unfinished integer at byte ${at}`)
    return { value: isNegative ? -value : value, end: end + 1 }
  }

  #anyInteger(at: number): Read<number> {
    const end = this.#bytes.indexOf(END, at)
    if (end < 0 || end - at > MAX_INTEGER_CHARACTERS) {
      throw new Error(`unfinished integer at byte ${at}`)
    }
    const value = Number(Buffer.from(this.#bytes.subarray(at + 1, end)).toString('latin1'))
    return { value: Number.isSafeInteger(value) ? value : Number.NaN, end: end + 1 }
  }

  #text(at: number): Read<Uint8Array> {
    const { value, end } = this.#digits(at)
    const start = end + 1
    if (this.#bytes[end] !== COLON || start + value > this.#bytes.length) {
      throw new Error(`no bencoded value at byte ${at}`)
    }
    return { value: this.#bytes.subarray(start, start + value), end: start + value }
  }

  #digits(at: number): Read<number> {
    let value = 0
    let end = at
    for (; ; end++) {
      const digit = this.#bytes[end]
      if (digit === undefined || digit < DIGIT_0 || digit > DIGIT_9) break
      value = value * 10 + (digit - DIGIT_0)
      if (value > Number.MAX_SAFE_INTEGER) throw new Error(`number too large at byte ${at}`)
    }
    const isPadded = end > at + 1 && this.#bytes[at] === DIGIT_0
    if (end === at || isPadded) throw new Error(`no bencoded value at byte ${at}`)
    return { value, end }
  }
}
