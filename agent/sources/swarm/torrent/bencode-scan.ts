// SPDX-License-Identifier: Apache-2.0
// Owns the walk over untrusted bencode: is it canonical, how deep, where does each value lie. Does not
// build values; metainfo.ts does, after this walk has bounded what there is to build.

/** Byte offsets of a value; `end` is the first byte after it. */
export interface Span {
  readonly start: number
  readonly end: number
}

export interface ScanLimits {
  readonly maxDepth: number
  readonly maxItems: number
}

const [DIGIT_0, DIGIT_9, COLON, DICT, END, INT, LIST, MINUS] = [
  0x30, 0x39, 0x3a, 0x64, 0x65, 0x69, 0x6c, 0x2d,
]

/**
 * Walks one bencoded dictionary that fills `bytes` exactly and returns where each of its values lies.
 * Throws Error for anything BEP 3 forbids: unsorted or repeated keys, leading zeros, trailing bytes,
 * integers beyond 2^53; and for nesting or item counts above the limits.
 */
export function scanDictionary(bytes: Uint8Array, limits: ScanLimits): Map<string, Span> {
  const entries = new Map<string, Span>()
  const walk = new Walk(bytes, limits)
  const end = walk.dictionary(0, 0, (key, span) => entries.set(key, span))
  if (end !== bytes.length) throw new Error(`${bytes.length - end} bytes after the end`)
  return entries
}

class Walk {
  readonly #bytes: Uint8Array
  readonly #limits: ScanLimits
  #items = 0

  constructor(bytes: Uint8Array, limits: ScanLimits) {
    this.#bytes = bytes
    this.#limits = limits
  }

  /** @returns the offset after the value that starts at `at` */
  value(at: number, depth: number): number {
    this.#items += 1
    if (this.#items > this.#limits.maxItems) throw new Error('too many values')
    switch (this.#bytes[at]) {
      case INT:
        return this.#integer(at)
      case LIST:
        return this.#list(at, depth)
      case DICT:
        return this.dictionary(at, depth)
      default:
        return this.#text(at).end
    }
  }

  dictionary(at: number, depth: number, onEntry?: (key: string, span: Span) => void): number {
    this.#enter(at, DICT, depth)
    let position = at + 1
    let previous: Uint8Array | undefined
    while (this.#bytes[position] !== END) {
      const key = this.#text(position)
      const keyBytes = this.#bytes.subarray(key.start, key.end)
      if (previous && Buffer.compare(previous, keyBytes) >= 0) {
        throw new Error(`keys not sorted at byte ${position}`)
      }
      previous = keyBytes
      const name = Buffer.from(keyBytes).toString('latin1')
      // an object key of this name would replace the prototype of the decoded dictionary
      if (name === '__proto__') throw new Error('forbidden key')
      position = this.value(key.end, depth + 1)
      onEntry?.(name, { start: key.end, end: position })
    }
    return position + 1
  }

  #list(at: number, depth: number): number {
    this.#enter(at, LIST, depth)
    let position = at + 1
    while (this.#bytes[position] !== END) position = this.value(position, depth + 1)
    return position + 1
  }

  #enter(at: number, kind: number, depth: number): void {
    if (this.#bytes[at] !== kind) throw new Error(`no bencoded value at byte ${at}`)
    if (depth >= this.#limits.maxDepth) throw new Error('nested too deeply')
  }

  #integer(at: number): number {
    let position = at + 1
    const isNegative = this.#bytes[position] === MINUS
    if (isNegative) position += 1
    const { value, end } = this.#digits(position)
    if (isNegative && value === 0) throw new Error(`minus zero at byte ${at}`)
    if (this.#bytes[end] !== END) throw new Error(`unfinished integer at byte ${at}`)
    return end + 1
  }

  #text(at: number): Span {
    const { value, end } = this.#digits(at)
    const start = end + 1
    if (this.#bytes[end] !== COLON || start + value > this.#bytes.length) {
      throw new Error(`no bencoded value at byte ${at}`)
    }
    return { start, end: start + value }
  }

  #digits(at: number): { value: number; end: number } {
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
