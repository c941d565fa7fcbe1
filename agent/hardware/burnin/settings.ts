// SPDX-License-Identifier: Apache-2.0
// Owns the reading of what operators say of burn-ins in a node's driver_info (contract 7.4): every complaint names the field.
import { isAbsolute, normalize } from 'node:path'
import { AgentError } from '../../core/errors.ts'
import { isTruthyWord, type JsonObject, objectAt } from '../../core/json.ts'

/** Fields of driver_info by name; absent ones and null have the value given for them. */
export interface BurninFields {
  /** A whole number of at least `least`. */
  count(name: string, absent: number, least?: number): number
  flag(name: string): boolean
  /** A string that the pattern fits; `words` say what that is. */
  text(name: string, absent: string, pattern: RegExp, words: string): string
  /** An absolute path to a file or folder; undefined where none is named. */
  path(name: string): string | undefined
  object(name: string): JsonObject | undefined
}

/** No burn-in lasts longer than ten days; two of them still fit into a deadline of Node's. */
const MOST = 10 * 86_400

/** Every function throws InvalidCommandParamsError. */
export function burninFields(node: JsonObject): BurninFields {
  const fields = objectAt(node, 'driver_info')
  const text: BurninFields['text'] = (name, absent, pattern, words) => {
    const value = String(fields[name] ?? absent)
    return pattern.test(value) ? value : refuse(name, words)
  }
  return {
    text,
    count: (name, absent, least = 0) => {
      const value = Number(fields[name] ?? absent)
      if (Number.isInteger(value) && value >= least && value <= MOST) return value
      return refuse(name, `a whole number from ${least} to ${MOST}`)
    },
    flag: (name) => isTruthyWord(String(fields[name] ?? false)),
    path: (name) => {
      const value = fields[name]
      if (value === undefined || value === null || value === '') return undefined
      // it is given to programs, and must not be taken for an option or lead elsewhere
      const isPlain = typeof value === 'string' && isAbsolute(value) && normalize(value) === value
      return isPlain && !/\p{Cc}/u.test(value) ? value : refuse(name, 'an absolute path without ..')
    },
    object: (name) => {
      if (fields[name] === undefined || fields[name] === null) return undefined
      const value = objectAt(fields, name)
      return Object.keys(value).length > 0 ? value : refuse(name, 'an object that is not empty')
    },
  }
}

function refuse(name: string, words: string): never {
  throw new AgentError('InvalidCommandParamsError', `driver_info.${name} must be ${words}`)
}
