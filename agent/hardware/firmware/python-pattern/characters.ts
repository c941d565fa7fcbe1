// SPDX-License-Identifier: Apache-2.0
// Owns single characters of a Python pattern and sets of them, and what stands for each in a pattern of JavaScript's `v`
// mode (Python's re, "Regular Expression Syntax"). Does not know groups and repetitions.
import type { Scanner } from './scanner.ts'

/** Which characters `\d`, `\s` and `\w` are: with `(?a)` those of ASCII, as the inside of a class. */
interface Sets {
  readonly d: string
  readonly s: string
  readonly w: string
}

const UNICODE: Sets = {
  d: '\\p{Nd}',
  s: '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000',
  w: '\\p{L}\\p{N}_',
}
const ASCII: Sets = { d: '0-9', s: '\\t-\\r\\x20', w: 'A-Za-z0-9_' }

const CONTROLS: Readonly<Record<string, number>> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 }
const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 }
const LAST_CODE_POINT = 0x10ffff

export function setsOf(isAscii: boolean): Sets {
  return isAscii ? ASCII : UNICODE
}

/** The character itself, whatever it means in a pattern. */
export function literal(codePoint: number): string {
  const character = String.fromCodePoint(codePoint)
  return /^[A-Za-z0-9_]$/.test(character) ? character : `\\u{${codePoint.toString(16)}}`
}

/** `\d` and its kind by their letter, negated in upper case; undefined for another letter. */
export function shorthand(letter: string, sets: Sets): string | undefined {
  const lower = letter.toLowerCase()
  if (lower !== 'd' && lower !== 's' && lower !== 'w') return undefined
  return letter === lower ? `[${sets[lower]}]` : `[^${sets[lower]}]`
}

/**
 * The code point of an escape whose backslash has been read and whose letter is neither a shorthand nor an assertion nor
 * a digit. Python refuses letters that it gives no meaning to.
 */
export function escapedCharacter(scanner: Scanner, letter: string): number {
  if (letter === '') return scanner.fail('a backslash ends the pattern')
  if (letter in CONTROLS) return CONTROLS[letter] as number
  const count = HEX_DIGITS[letter]
  if (count !== undefined) {
    const digits = scanner.match(new RegExp(`[0-9a-fA-F]{${count}}`))?.[0]
    const value = Number.parseInt(digits ?? '', 16)
    if (value <= LAST_CODE_POINT) return value
    return scanner.fail(`\\${letter} takes ${count} hexadecimal digits of a character`)
  }
  if (/^[A-Za-z]$/.test(letter)) return scanner.fail(`\\${letter} has no meaning here`)
  return letter.codePointAt(0) as number
}

/** The value of an octal escape from its first digit on, of three digits at most. */
export function octalCharacter(scanner: Scanner, digits: string): number {
  const value = Number.parseInt(digits, 8)
  return value <= 0o377 ? value : scanner.fail(`\\${digits} is more than \\377`)
}

/** A class whose opening bracket has been read. A closing one is a character where it stands first. */
export function characterClass(scanner: Scanner, sets: Sets): string {
  const negation = scanner.take('^') ? '^' : ''
  let inside = ''
  for (let isFirst = true; isFirst || scanner.peek() !== ']'; isFirst = false) {
    if (scanner.peek() === '') return scanner.fail('a [ is not closed')
    const low = member(scanner, sets)
    if (scanner.match(/-(?!\])/) === undefined) {
      inside += typeof low === 'number' ? literal(low) : low
      continue
    }
    if (scanner.peek() === '') return scanner.fail('a [ is not closed')
    const high = member(scanner, sets)
    if (typeof low !== 'number' || typeof high !== 'number' || high < low) {
      return scanner.fail(
        'a range of characters has no beginning, no end, or ends before it begins',
      )
    }
    inside += `${literal(low)}-${literal(high)}`
  }
  scanner.next()
  return `[${negation}${inside}]`
}

/** One character of a class, or the class that a shorthand is. */
function member(scanner: Scanner, sets: Sets): number | string {
  const character = scanner.next()
  if (character !== '\\') return character.codePointAt(0) as number
  const octal = scanner.match(/[0-7]{1,3}/)?.[0]
  if (octal !== undefined) return octalCharacter(scanner, octal)
  const letter = scanner.next()
  if (letter === 'b') return 8
  if (/^[89]$/.test(letter)) return scanner.fail(`\\${letter} has no meaning in a class`)
  return shorthand(letter, sets) ?? escapedCharacter(scanner, letter)
}
