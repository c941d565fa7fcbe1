// SPDX-License-Identifier: Apache-2.0
// Owns the little language of hint values: `>= 100`, `s!= x`, `<or> a <or> b`, `<range-in> [ 1 9 )`
// (contract 5.4). Pure; knows nothing of disks or hint keys.

/** True if the value matches; a value with several spellings matches by any of them. */
export type Matcher = (spellings: readonly string[]) => boolean

/** Longest first, so that `>=` is not read as `>`. */
const OPERATORS = [
  '<range-in>',
  '<all-in>',
  '<in>',
  '<or>',
  's==',
  's!=',
  's>=',
  's<=',
  's>',
  's<',
  '==',
  '!=',
  '>=',
  '<=',
  '>',
  '<',
  '=',
] as const

type Operator = (typeof OPERATORS)[number]
type Ordering = '==' | '!=' | '>=' | '<=' | '>' | '<'

const NUMERIC: Readonly<Partial<Record<Operator, Ordering>>> = {
  // `=` means "at least": the oldest operator, kept as it was
  '=': '>=',
  '==': '==',
  '!=': '!=',
  '>=': '>=',
  '<=': '<=',
  '>': '>',
  '<': '<',
}

const TEXTUAL: Readonly<Partial<Record<Operator, Ordering>>> = {
  's==': '==',
  's!=': '!=',
  's>=': '>=',
  's<=': '<=',
  's>': '>',
  's<': '<',
}

/**
 * Compiles an expression. Without an operator it means `==` for numbers and `s==` for strings. Throws Error
 * with the reason when it cannot mean anything.
 */
export function compile(expression: string, kind: 'number' | 'string'): Matcher {
  const text = expression.trim().toLowerCase()
  if (text === '') throw new Error('it is empty')
  const operator = OPERATORS.find((candidate) => text.startsWith(candidate))
  const operand = operator ? text.slice(operator.length).trim() : text
  if (operand === '') throw new Error(`${operator} has nothing to compare with`)
  const matcher = compileOperator(operator ?? (kind === 'number' ? '==' : 's=='), operand, kind)
  return (spellings) => matcher(spellings.map((spelling) => spelling.trim().toLowerCase()))
}

function compileOperator(operator: Operator, operand: string, kind: 'number' | 'string'): Matcher {
  const numeric = NUMERIC[operator]
  if (numeric) return numericMatcher(numeric, numberOf(operand))
  if (operator === '<range-in>') return rangeMatcher(operand)
  if (operator === '<or>') return orMatcher(operand, kind)
  if (kind === 'number') throw new Error(`${operator} does not compare numbers`)
  const textual = TEXTUAL[operator]
  if (textual) return textMatcher(textual, operand)
  if (operator === '<in>') return (values) => values.some((value) => value.includes(operand))
  return allInMatcher(operand.split(/\s+/))
}

function numericMatcher(ordering: Ordering, wanted: number): Matcher {
  const matches = (value: string) => {
    const number = toNumber(value)
    return !Number.isNaN(number) && holds(number, ordering, wanted)
  }
  return anyOrNone(ordering, matches)
}

function textMatcher(ordering: Ordering, wanted: string): Matcher {
  return anyOrNone(ordering, (value) => holds(quote(value), ordering, quote(wanted)))
}

/**
 * Any spelling may match, but a spelling must not slip past a "not": a disk whose short serial number is
 * the excluded one is excluded, though its long one differs.
 */
function anyOrNone(ordering: Ordering, matches: (value: string) => boolean): Matcher {
  if (ordering === '!=') return (values) => values.length > 0 && values.every(matches)
  return (values) => values.some(matches)
}

function holds<T extends string | number>(a: T, ordering: Ordering, b: T): boolean {
  switch (ordering) {
    case '==':
      return a === b
    case '!=':
      return a !== b
    case '>=':
      return a >= b
    case '<=':
      return a <= b
    case '>':
      return a > b
    case '<':
      return a < b
  }
}

function orMatcher(operand: string, kind: 'number' | 'string'): Matcher {
  const choices = operand.split('<or>').map((choice) => choice.trim())
  if (choices.includes('')) throw new Error('<or> has an empty alternative')
  const matchers = choices.map((choice) =>
    kind === 'number' ? numericMatcher('==', numberOf(choice)) : textMatcher('==', choice),
  )
  return (values) => matchers.some((matches) => matches(values))
}

function rangeMatcher(operand: string): Matcher {
  const match = /^([[(])\s*(\S+?)\s+(\S+?)\s*([\])])$/.exec(operand)
  if (!match) throw new Error('<range-in> is written like <range-in> [ 10 20 )')
  const [low, high] = [numberOf(match[2] as string), numberOf(match[3] as string)]
  if (low > high) throw new Error(`<range-in> begins at ${low}, above its end ${high}`)
  const [isLowIn, isHighIn] = [match[1] === '[', match[4] === ']']
  return (values) =>
    values.map(toNumber).some((value) => {
      const isAbove = isLowIn ? value >= low : value > low
      return isAbove && (isHighIn ? value <= high : value < high)
    })
}

/** Every wanted item must be in the value's list: `['a', 'b']`. A value that is no list never matches. */
function allInMatcher(wanted: readonly string[]): Matcher {
  return (values) =>
    values.some((value) => {
      const items = listLiteral(value)
      return items !== undefined && wanted.every((item) => items.includes(item))
    })
}

function listLiteral(value: string): string[] | undefined {
  const inner = /^\[(.*)\]$/.exec(value)?.[1]
  return inner?.split(',').map((item) => item.trim().replace(/^(['"])(.*)\1$/, '$2'))
}

function numberOf(text: string): number {
  const number = toNumber(text)
  if (Number.isNaN(number)) throw new Error(`${JSON.stringify(text)} is not a number`)
  return number
}

/** Decimal numbers only: Number() would also take '', hex and Infinity. */
function toNumber(text: string): number {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(text) ? Number(text) : Number.NaN
}

/** As Ironic quotes both sides before comparing; it decides where a blank sorts. */
function quote(text: string): string {
  return encodeURIComponent(text.toWellFormed())
    .replaceAll('%2F', '/')
    .replaceAll(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}
