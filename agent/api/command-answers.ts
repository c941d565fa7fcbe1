// SPDX-License-Identifier: Apache-2.0
// Owns the JSON of command results as it is answered: whole for who knows the token, with secrets struck
// out for everybody else, and made once. Does not decide who knows it, and does not send (unread-answers.ts).
import type { CommandResult } from '../commands/command.ts'
import { redact } from '../core/redact.ts'

/** @param isTrusted the client has shown the token */
export interface CommandAnswers {
  /** `{"commands": […]}`; the same bytes for the same results. */
  list(results: readonly CommandResult[], isTrusted: boolean): Buffer
  one(result: CommandResult, isTrusted: boolean): Buffer
}

interface ListAnswer {
  readonly results: readonly CommandResult[]
  readonly json: Buffer
}

/**
 * Results must not change: one that has other content is another object. Conductors up to 21.4 ask
 * without the token and compare interface and step of the echo alone (contract 5.1, 8.3).
 */
export function createCommandAnswers(): CommandAnswers {
  const whole = new WeakMap<CommandResult, Buffer>()
  const open = new WeakMap<CommandResult, Buffer>()
  const lists = new Map<boolean, ListAnswer>()

  const one: CommandAnswers['one'] = (result, isTrusted) => {
    const known = isTrusted ? whole : open
    const made = known.get(result) ?? jsonOf(isTrusted ? result : redact(result))
    known.set(result, made)
    return made
  }

  return {
    one,
    list: (results, isTrusted) => {
      const last = lists.get(isTrusted)
      if (last !== undefined && areSame(last.results, results)) return last.json
      const parts = results.flatMap((result, i) =>
        i === 0 ? [one(result, isTrusted)] : [COMMA, one(result, isTrusted)],
      )
      const json = Buffer.concat([HEAD, ...parts, TAIL])
      lists.set(isTrusted, { results: [...results], json })
      return json
    },
  }
}

const HEAD = Buffer.from('{"commands":[')
const COMMA = Buffer.from(',')
const TAIL = Buffer.from(']}')

function jsonOf(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}

function areSame(a: readonly CommandResult[], b: readonly CommandResult[]): boolean {
  return a.length === b.length && a.every((result, i) => result === b[i])
}
