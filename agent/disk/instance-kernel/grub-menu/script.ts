// SPDX-License-Identifier: Apache-2.0
// Owns the grammar of grub.cfg: commands with their blocks, if, functions. Loops are none of a menu that a
// distribution makes, and are refused. Runs nothing.
import { notUnderstood } from '../boot-entry.ts'
import { type Token, tokenize, type Word } from './words.ts'

export interface Command {
  readonly kind: 'command'
  readonly line: number
  readonly words: readonly Word[]
  /** Of menuentry and submenu. */
  readonly block: Script | undefined
}

export interface Choice {
  readonly kind: 'if'
  readonly line: number
  readonly branches: readonly { readonly condition: Script; readonly body: Script }[]
  readonly otherwise: Script
}

export interface FunctionDefinition {
  readonly kind: 'function'
  readonly line: number
  readonly name: string
  readonly body: Script
}

export type Statement = Command | Choice | FunctionDefinition
export type Script = readonly Statement[]

const LOOPS: ReadonlySet<string> = new Set(['for', 'while', 'until', 'select', 'case', 'time'])
const MOST_DEPTH = 16

/** Throws InvalidImage, with the line. */
export function parseScript(text: string): Script {
  return new Parser(tokenize(text)).all()
}

/** The literal text of a word that is nothing else, `if`; undefined for quoted ones and variables. */
function keyword(token: Token | undefined): string | undefined {
  if (token?.kind !== 'word') return undefined
  const [part, ...more] = token.word
  return more.length === 0 && part?.kind === 'text' && !part.isQuoted ? part.text : undefined
}

/** Recursive descent, one method a rule. */
class Parser {
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  all(): Script {
    const script = this.#script(0, [])
    if (this.#next !== undefined) throw notUnderstood(this.#line, '"}" without its "{"')
    return script
  }

  get #next(): Token | undefined {
    return this.#tokens[this.#at]
  }

  /** Of the next token, else of the last. */
  get #line(): number {
    return (this.#next ?? this.#tokens.at(-1))?.line ?? 1
  }

  /** Up to one of the words, which is not taken, or to the end of a block. */
  #script(depth: number, until: readonly string[]): Script {
    if (depth > MOST_DEPTH) throw notUnderstood(this.#line, 'blocks lie too deep in each other')
    const statements: Statement[] = []
    for (;;) {
      this.#skipEnds()
      const token = this.#next
      if (token === undefined || token.kind === 'close') return statements
      if (until.includes(keyword(token) ?? '')) return statements
      statements.push(this.#statement(depth, token))
    }
  }

  #statement(depth: number, token: Token): Statement {
    const word = keyword(token)
    if (word === 'if') return this.#choice(depth)
    if (word === 'function') return this.#definition(depth)
    if (word !== undefined && LOOPS.has(word)) {
      throw notUnderstood(token.line, `"${word}" is not followed`)
    }
    return this.#command(depth, token.line)
  }

  #command(depth: number, line: number): Command {
    const words: Word[] = []
    for (let token = this.#next; token?.kind === 'word'; token = this.#next) {
      words.push(token.word)
      this.#at++
    }
    const block = this.#next?.kind === 'open' ? this.#body(depth) : undefined
    if (words.length === 0) throw notUnderstood(line, 'a block without a command')
    return { kind: 'command', line, words, block }
  }

  #body(depth: number): Script {
    this.#takeSign('open', '{')
    const inside = this.#script(depth + 1, [])
    this.#takeSign('close', '}')
    return inside
  }

  #definition(depth: number): FunctionDefinition {
    const line = this.#line
    this.#at++
    const name = keyword(this.#next)
    if (name === undefined) throw notUnderstood(line, 'a function without a name')
    this.#at++
    this.#skipEnds()
    return { kind: 'function', line, name, body: this.#body(depth) }
  }

  #choice(depth: number): Choice {
    const line = this.#line
    const branches: { condition: Script; body: Script }[] = []
    let otherwise: Script = []
    do {
      this.#at++
      const condition = this.#script(depth + 1, ['then'])
      this.#takeWord('then')
      branches.push({ condition, body: this.#script(depth + 1, ['elif', 'else', 'fi']) })
    } while (keyword(this.#next) === 'elif')
    if (keyword(this.#next) === 'else') {
      this.#at++
      otherwise = this.#script(depth + 1, ['fi'])
    }
    this.#takeWord('fi')
    return { kind: 'if', line, branches, otherwise }
  }

  #takeWord(word: string): void {
    this.#skipEnds()
    if (keyword(this.#next) !== word) throw notUnderstood(this.#line, `"${word}" is missing`)
    this.#at++
  }

  #takeSign(kind: 'open' | 'close', sign: string): void {
    if (this.#next?.kind !== kind) throw notUnderstood(this.#line, `"${sign}" is missing`)
    this.#at++
  }

  #skipEnds(): void {
    while (this.#next?.kind === 'end') this.#at++
  }
}
