// SPDX-License-Identifier: Apache-2.0
// Owns what of a command's result is worth keeping after it was answered: its shape, and no long texts.
// Does not keep it (history.ts).
import { isObject } from '../core/json.ts'
import { KiB, MiB } from '../core/units.ts'

/** A config drive or a log bundle is longer, nothing that is compared. */
const LONGEST_TEXT = 64 * KiB
/** Of one result, as JSON. */
const MOST_CHARS = MiB
/** Nobody nests results like this; a parser of JSON may give up sooner. */
const MOST_DEPTH = 64
/** Down to interface and step of an echo, which the conductor compares (contract 5.1). */
const DEPTH_OF_AN_ECHO = 2

/**
 * A copy of a `command_result` of 1 MiB of JSON at most. Texts longer than 64 KiB, and bytes, give way to
 * a note; of a result that is too large without them, what lies deeper than the fields of an echoed step.
 * Throws TypeError for what cannot be JSON.
 */
export function keptResult(value: unknown): unknown {
  const kept = cut(value, MOST_DEPTH)
  if (charsOf(kept) <= MOST_CHARS) return kept
  const shallow = cut(value, DEPTH_OF_AN_ECHO)
  return charsOf(shallow) <= MOST_CHARS ? shallow : { dropped: note('a result that is too large') }
}

function cut(value: unknown, depth: number): unknown {
  if (typeof value === 'string') {
    return value.length > LONGEST_TEXT ? note(`${value.length} characters`) : value
  }
  if (value instanceof Uint8Array) return note(`${value.length} bytes`)
  if (Array.isArray(value)) {
    return depth === 0 ? note('a list') : value.map((item) => cut(item, depth - 1))
  }
  if (!isObject(value)) return value
  if (depth === 0) return note('an object')
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, cut(item, depth - 1)]))
}

function charsOf(value: unknown): number {
  return (JSON.stringify(value) ?? '').length
}

function note(what: string): string {
  return `<${what}, not kept to bound memory>`
}
