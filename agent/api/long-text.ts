// SPDX-License-Identifier: Apache-2.0
// Owns one long text of a JSON body while it arrives: its escapes, and that a text which came before is not
// held twice. Does not find where it begins and ends (request-body.ts).
import { isAscii } from 'node:buffer'

/** `\u0041` and `\n` (RFC 8259, 7), bytes. */
const LONG_ESCAPE = 6
const SHORT_ESCAPE = 2
const BACKSLASH = 0x5c
const LETTER_U = 0x75

export interface LongText {
  /** Takes what stands between the quotes. Throws SyntaxError for an escape that is none, RangeError beyond the capacity. */
  write(raw: Buffer): void
  /** The text; the very bytes of an earlier text that is equal. Throws SyntaxError if it is not ASCII. */
  end(): Buffer
}

/**
 * @param capacity bytes; memory that is never written costs nothing
 * @param earlier texts of the same body
 */
export function createLongText(capacity: number, earlier: readonly Buffer[]): LongText {
  let candidates = earlier
  let own: Buffer | undefined
  let length = 0
  let rest: Buffer = Buffer.alloc(0)

  const append = (bytes: Buffer) => {
    if (length + bytes.length > capacity) throw new RangeError('too long')
    if (own === undefined) {
      const to = length + bytes.length
      const left = candidates.filter((one) => one.subarray(length, to).equals(bytes))
      if (left.length > 0) {
        candidates = left
        length = to
        return
      }
      own = Buffer.allocUnsafeSlow(capacity)
      candidates[0]?.copy(own, 0, 0, length)
    }
    bytes.copy(own, length)
    length += bytes.length
  }

  return {
    write: (raw) => {
      const all = rest.length > 0 ? Buffer.concat([rest, raw]) : raw
      const end = endOfWhole(all)
      append(unescaped(all.subarray(0, end)))
      rest = Buffer.from(all.subarray(end))
    },
    end: () => {
      append(unescaped(rest))
      const same = own === undefined && candidates.find((one) => one.length === length)
      if (same) return same
      const text = own?.subarray(0, length) ?? Buffer.from(candidates[0]?.subarray(0, length) ?? [])
      if (!isAscii(text)) throw new SyntaxError('a long text that is not ASCII')
      return text
    },
  }
}

/** Up to where all escapes are whole: at most the last one is not. */
function endOfWhole(raw: Buffer): number {
  const last = raw.lastIndexOf(BACKSLASH)
  let first = last
  while (first > 0 && raw[first - 1] === BACKSLASH) first -= 1
  // an even number of backslashes in a row are half as many, which escape nothing
  const isEscape = last !== -1 && (last - first) % 2 === 0
  const needs = raw[last + 1] === LETTER_U ? LONG_ESCAPE : SHORT_ESCAPE
  return isEscape && last + needs > raw.length ? last : raw.length
}

function unescaped(raw: Buffer): Buffer {
  if (!raw.includes(BACKSLASH)) return raw
  return Buffer.from(JSON.parse(`"${raw.toString('latin1')}"`), 'utf8')
}
