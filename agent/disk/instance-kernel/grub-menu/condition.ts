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
  return args.length === 0 ? false : await new Evaluation(args, context).all()
}

/** Both sides of -a and -o are looked at: what comes second may be none of ours. */
class Evaluation {
  readonly #args: readonly string[]
  readonly #context: ConditionContext
  #at = 0

  constructor(args: readonly string[], context: ConditionContext) {
    this.#args = args
    this.#context = context
  }

  async all(): Promise<boolean> {
    const value = await this.#either()
    if (this.#at < this.#args.length) throw this.#refusal(this.#args[this.#at])
    return value
  }

  /** -o binds less than -a. */
  async #either(): Promise<boolean> {
    let value = await this.#both()
    while (this.#args[this.#at] === '-o') {
      this.#at++
      value = (await this.#both()) || value
    }
    return value
  }

  async #both(): Promise<boolean> {
    let value = await this.#term()
    while (this.#args[this.#at] === '-a') {
      this.#at++
      value = (await this.#term()) && value
    }
    return value
  }

  async #term(): Promise<boolean> {
    const [first = '', second, third] = this.#args.slice(this.#at, this.#at + 3)
    const compare = COMPARISONS.get(second ?? '')
    if (compare && third !== undefined) {
      this.#at += 3
      return compare(first, third)
    }
    if (first === '!') {
      this.#at++
      return !(await this.#term())
    }
    if (/^-[a-z]+$/.test(first) && second !== undefined) {
      this.#at += 2
      return await this.#unary(first, second)
    }
    this.#at++
    return first !== ''
  }

  async #unary(operator: string, value: string): Promise<boolean> {
    if (operator === '-z') return value === ''
    if (operator === '-n') return value !== ''
    const { disk, root } = this.#context
    const place = placeOf(value, root)
    const kind = place ? await disk.kindOf(place) : undefined
    if (operator === '-e') return kind !== undefined
    if (operator === '-f' || operator === '-s') return kind === 'file'
    if (operator === '-d') return kind === 'folder'
    throw this.#refusal(operator)
  }

  #refusal(word: string | undefined) {
    return notUnderstood(this.#context.line, `in a condition: "${word}" is not followed`)
  }
}

function number(text: string): number {
  return Number.parseInt(text, 10) || 0
}
