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
  const parser = createParser(tokenize(text))
  const script = parser.script(0, [])
  parser.expectEnd()
  return script
}

/** The literal text of a word that is nothing else, `if`; undefined for quoted ones and variables. */
function keyword(token: Token | undefined): string | undefined {
  if (token?.kind !== 'word') return undefined
  const [part, ...more] = token.word
  return more.length === 0 && part?.kind === 'text' && !part.isQuoted ? part.text : undefined
}

function createParser(tokens: readonly Token[]) {
  let at = 0
  const line = () => tokens[Math.min(at, tokens.length - 1)]?.line ?? 1
  const skipEnds = () => {
    while (tokens[at]?.kind === 'end') at++
  }
  const expect = (word: string) => {
    skipEnds()
    if (keyword(tokens[at]) !== word) throw notUnderstood(line(), `"${word}" is missing`)
    at++
  }
  const expectToken = (kind: 'open' | 'close', sign: string) => {
    if (tokens[at]?.kind !== kind) throw notUnderstood(line(), `"${sign}" is missing`)
    at++
  }

  /** Up to one of the words, which is not taken, or to the end of a block. */
  function script(depth: number, until: readonly string[]): Script {
    if (depth > MOST_DEPTH) throw notUnderstood(line(), 'blocks lie too deep in each other')
    const statements: Statement[] = []
    for (;;) {
      skipEnds()
      const token = tokens[at]
      if (token === undefined || token.kind === 'close') return statements
      if (until.includes(keyword(token) ?? '')) return statements
      statements.push(statement(depth, token))
    }
  }

  function statement(depth: number, token: Token): Statement {
    const word = keyword(token)
    if (word === 'if') return choice(depth)
    if (word === 'function') return definition(depth)
    if (word !== undefined && LOOPS.has(word)) {
      throw notUnderstood(token.line, `"${word}" is not followed`)
    }
    return command(depth, token.line)
  }

  function command(depth: number, began: number): Command {
    const words: Word[] = []
    for (let token = tokens[at]; token?.kind === 'word'; token = tokens[at]) {
      words.push(token.word)
      at++
    }
    const block = tokens[at]?.kind === 'open' ? body(depth) : undefined
    if (words.length === 0) throw notUnderstood(began, 'a block without a command')
    return { kind: 'command', line: began, words, block }
  }

  function body(depth: number): Script {
    expectToken('open', '{')
    const inside = script(depth + 1, [])
    expectToken('close', '}')
    return inside
  }

  function definition(depth: number): FunctionDefinition {
    const began = line()
    at++
    const name = keyword(tokens[at])
    if (name === undefined) throw notUnderstood(began, 'a function without a name')
    at++
    skipEnds()
    return { kind: 'function', line: began, name, body: body(depth) }
  }

  function choice(depth: number): Choice {
    const began = line()
    const branches: { condition: Script; body: Script }[] = []
    let otherwise: Script = []
    do {
      at++
      const condition = script(depth + 1, ['then'])
      expect('then')
      branches.push({ condition, body: script(depth + 1, ['elif', 'else', 'fi']) })
    } while (keyword(tokens[at]) === 'elif')
    if (keyword(tokens[at]) === 'else') {
      at++
      otherwise = script(depth + 1, ['fi'])
    }
    expect('fi')
    return { kind: 'if', line: began, branches, otherwise }
  }

  return {
    script,
    expectEnd: () => {
      if (at < tokens.length) throw notUnderstood(line(), '"}" without its "{"')
    },
  }
}
