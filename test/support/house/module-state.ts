// SPDX-License-Identifier: Apache-2.0
// Owns finding what a module keeps between calls: everything at the left edge of a file that can change.
// Two deploys of one process, and two tests, would meet there. Does not follow what is handed to others.
import { readSource } from './source-text.ts'

export interface ModuleState {
  readonly name: string
  readonly line: number
}

/** A binding that can be set anew, at the left edge. */
const REBOUND = /^(?:export )?(?:let|var) (?:\{ ?)?(\w+)/gm
/** A constant at the left edge, and how its value begins. */
const CONSTANT = /^(?:export )?const (\w+)(?:: [^=]+?(?:=>[^=]+?)?)? = (.*)$/gm
/** Memory of its own, or a thing with a state: whoever has the name can change it. */
const HOLDS_STATE =
  /^(?:await )?(?:new (?:\w+Array|ArrayBuffer|SharedArrayBuffer|DataView)\((?!0?\))|Buffer\.alloc\w*\(|create[A-Z]\w*\()/
const CHANGES = 'set|add|delete|clear|push|pop|shift|unshift|splice|sort|reverse|fill|copyWithin'

/** What is state in a file, in its order; functions and constants that nobody changes are none. */
export function moduleStateOf(text: string): ModuleState[] {
  const { code } = readSource(text)
  const constants = [...code.matchAll(CONSTANT)].filter(
    ([, name = '', value = '']) => HOLDS_STATE.test(value) || isChanged(name, code),
  )
  return [...code.matchAll(REBOUND), ...constants]
    .map((match) => ({
      name: match[1] as string,
      line: code.slice(0, match.index).split('\n').length,
    }))
    .sort((a, b) => a.line - b.line)
}

function isChanged(name: string, code: string): boolean {
  const part = String.raw`(?:\.\w+|\[[^\]\n]*\])`
  return [
    String.raw`(?<![.\w])${name}${part}*\.(?:${CHANGES})\(`,
    String.raw`(?<![.\w])${name}${part}+ ?(?:[-+*/%&|^]|\*\*|<<|>>>?|&&|\|\||\?\?)?=(?![=>])`,
    String.raw`(?<![.\w])${name}${part}+(?:\+\+|--)`,
    String.raw`(?:\+\+|--)${name}${part}+`,
    String.raw`\bdelete ${name}${part}+`,
    String.raw`\bObject\.assign\(\s*${name}\b`,
  ].some((pattern) => new RegExp(pattern).test(code))
}
