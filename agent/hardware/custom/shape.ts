// SPDX-License-Identifier: Apache-2.0
// Owns the words in which the shape of a third-party manager's answer is said, and the check of a value against it.
// Does not know which call answers what (answers.ts).
import { isObject } from '../../core/json.ts'

/** Null if the value is of the shape, else half a sentence: where it is not, and what belongs there. */
export type Shape = (value: unknown, at: string) => string | null

const plain =
  (what: string, isOne: (value: unknown) => boolean): Shape =>
  (value, at) =>
    isOne(value) ? null : `${at} is ${shown(value)} where ${what} belongs`

export const text = plain('text', (value) => typeof value === 'string')
export const count = plain(
  'a whole number from 0',
  (value) => Number.isSafeInteger(value) && Number(value) >= 0,
)
export const boolean = plain('true or false', (value) => typeof value === 'boolean')

export const above0upTo = (most: number): Shape =>
  plain(
    `a number above 0 and up to ${most}`,
    (value) => typeof value === 'number' && value > 0 && value <= most,
  )

export const nothing = plain('nothing', (value) => value === undefined || value === null)

export const matching = (pattern: RegExp, what: string): Shape =>
  plain(what, (value) => typeof value === 'string' && pattern.test(value))

export const oneOf = (...words: readonly string[]): Shape =>
  plain(words.join(' or '), (value) => words.some((word) => word === value))

export const orNull =
  (shape: Shape): Shape =>
  (value, at) =>
    value === null ? null : shape(value, at)

export const orNone =
  (shape: Shape): Shape =>
  (value, at) =>
    value === undefined ? null : shape(value, at)

export const listOf =
  (shape: Shape, most = 4096): Shape =>
  (value, at) => {
    if (!Array.isArray(value)) return `${at} is ${shown(value)} where a list belongs`
    if (value.length > most) return `${at} has ${value.length} entries; ${most} are allowed`
    return first(value.map((each, i) => () => shape(each, `${at}[${i}]`)))
  }

export const pair =
  (a: Shape, b: Shape): Shape =>
  (value, at) => {
    if (!Array.isArray(value) || value.length !== 2) {
      return `${at} is ${shown(value)} where a pair belongs`
    }
    return a(value[0], `${at}[0]`) ?? b(value[1], `${at}[1]`)
  }

export const mapOf =
  (shape: Shape): Shape =>
  (value, at) =>
    isObject(value)
      ? first(
          Object.entries(value).map(
            ([key, each]) =>
              () =>
                shape(each, `${at}.${key}`),
          ),
        )
      : `${at} is ${shown(value)} where an object belongs`

/** All these keys; others may be there besides. */
export const object =
  (shapes: Readonly<Record<string, Shape>>): Shape =>
  (value, at) =>
    isObject(value)
      ? first(
          Object.entries(shapes).map(
            ([key, shape]) =>
              () =>
                shape(value[key], `${at}.${key}`),
          ),
        )
      : `${at} is ${shown(value)} where an object belongs`

function first(checks: readonly (() => string | null)[]): string | null {
  for (const check of checks) {
    const wrong = check()
    if (wrong !== null) return wrong
  }
  return null
}

function shown(value: unknown): string {
  if (value === undefined) return 'missing'
  const json = JSON.stringify(value) ?? String(value)
  return json.length > 60 ? `${json.slice(0, 60)}…` : json
}
