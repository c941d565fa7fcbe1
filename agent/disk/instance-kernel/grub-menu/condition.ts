// SPDX-License-Identifier: Apache-2.0
// Owns `test` and `[ ]` of a menu. Expressions that no distribution's menu has are refused, not guessed.
import { notUnderstood } from '../boot-entry.ts'
import { type MenuDisk, placeOf } from './place.ts'

export interface ConditionContext {
  readonly line: number
  readonly disk: MenuDisk
  /** GRUB's variable. */
  readonly root: string
}

const COMPARISONS: ReadonlyMap<string, (a: string, b: string) => boolean> = new Map([
  ['=', (a: string, b: string) => a === b],
  ['==', (a: string, b: string) => a === b],
  ['!=', (a: string, b: string) => a !== b],
  ['-eq', (a: string, b: string) => number(a) === number(b)],
  ['-ne', (a: string, b: string) => number(a) !== number(b)],
  ['-lt', (a: string, b: string) => number(a) < number(b)],
  ['-le', (a: string, b: string) => number(a) <= number(b)],
  ['-gt', (a: string, b: string) => number(a) > number(b)],
  ['-ge', (a: string, b: string) => number(a) >= number(b)],
])

/** @param args without the brackets. Throws InvalidImage for an expression that is none of ours. */
export async function evaluateCondition(
  args: readonly string[],
  context: ConditionContext,
): Promise<boolean> {
  let at = 0
  const fail = (what: string) => notUnderstood(context.line, `in a condition: ${what}`)

  // -o binds less than -a
  async function either(): Promise<boolean> {
    let value = await both()
    while (args[at] === '-o') {
      at++
      value = (await both()) || value
    }
    return value
  }
  async function both(): Promise<boolean> {
    let value = await term()
    while (args[at] === '-a') {
      at++
      value = (await term()) && value
    }
    return value
  }
  async function term(): Promise<boolean> {
    const compare = COMPARISONS.get(args[at + 1] ?? '')
    const [first = '', , third] = args.slice(at, at + 3)
    if (compare && third !== undefined) {
      at += 3
      return compare(first, third)
    }
    if (first === '!') {
      at++
      return !(await term())
    }
    if (/^-[a-z]+$/.test(first) && args[at + 1] !== undefined) {
      at += 2
      return await unary(first, args[at - 1] ?? '')
    }
    at++
    return first !== ''
  }
  async function unary(operator: string, value: string): Promise<boolean> {
    if (operator === '-z') return value === ''
    if (operator === '-n') return value !== ''
    const place = placeOf(value, context.root)
    const kind = place ? await context.disk.kindOf(place) : undefined
    if (operator === '-e') return kind !== undefined
    if (operator === '-f' || operator === '-s') return kind === 'file'
    if (operator === '-d') return kind === 'folder'
    throw fail(`"${operator}" is not followed`)
  }

  if (args.length === 0) return false
  const value = await either()
  if (at < args.length) throw fail(`"${args[at]}" is not followed`)
  return value
}

function number(text: string): number {
  return Number.parseInt(text, 10) || 0
}
