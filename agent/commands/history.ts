// SPDX-License-Identifier: Apache-2.0
// Owns the list of command results, oldest first, and its copy in the run directory, from which a
// restarted process tells Ironic what became of its commands (contract 8.3). Does not run commands.
import type { CommandStatus } from '../core/events.ts'
import { isObject } from '../core/json.ts'
import { redact } from '../core/redact.ts'
import { KiB, MiB } from '../core/units.ts'
import { openRunState } from '../ironic/run-state.ts'
import type { CommandResult } from './command.ts'
import { keptResult } from './kept-result.ts'

export interface CommandHistory {
  /** Commands that an earlier process left unfinished; they are FAILED in the list. */
  readonly interrupted: readonly CommandResult[]
  list(): readonly CommandResult[]
  get(id: string): CommandResult | undefined
  last(): CommandResult | undefined
  /**
   * Adds a result or replaces the one with its id, in the run directory first. What is kept has no long
   * texts (kept-result.ts). Throws InvalidConfigError if that cannot be written; the list is then as before.
   */
  put(result: CommandResult): void
  /** The same without the run directory: where there is nothing left to refuse. */
  putInMemory(result: CommandResult): void
}

const COMMANDS_FILE = 'commands.json'
const STATUSES: readonly string[] = [
  'RUNNING',
  'SUCCEEDED',
  'FAILED',
  'CLEAN_VERSION_MISMATCH',
] satisfies CommandStatus[]

/** Bounds on what is kept, whatever comes in: a deployment has about ten commands. */
const MAX_RESULTS = 1000
/** Of all results as JSON; beyond it the oldest of more than a few KiB are let go. */
const MAX_RESULT_BYTES = 4 * MiB
const LARGE_BYTES = 4 * KiB

/** Why a RUNNING command of an earlier process is FAILED now. */
const INTERRUPTED =
  'the agent process ended while this command was running, and was started again: the command did ' +
  'not finish. What it was writing is not complete; see the log of the agent for why it ended'

/** Takes over what an earlier process of this boot left. Throws InvalidConfigError if it is unreadable. */
export function openHistory(runDir: string): CommandHistory {
  const state = openRunState(runDir)
  const left = parseHistory(state.read(COMMANDS_FILE))
  const results = new BoundedResults(left.map(asEnded))
  return {
    interrupted: left.filter(({ command_status }) => command_status === 'RUNNING'),
    list: () => results.all,
    get: (id) => results.all.find((result) => result.id === id),
    last: () => results.all.at(-1),
    put: (result) => {
      const kept = keepable(result)
      state.write(COMMANDS_FILE, JSON.stringify(redact(results.with(kept))))
      results.put(kept)
    },
    putInMemory: (result) => results.put(keepable(result)),
  }
}

/** Results, oldest first: so many, and of so many bytes, whatever comes. */
class BoundedResults {
  #all: readonly CommandResult[]
  /** Of each that has ended, as JSON. */
  readonly #bytes = new WeakMap<CommandResult, number>()

  constructor(all: readonly CommandResult[]) {
    this.#all = all
  }

  get all(): readonly CommandResult[] {
    return this.#all
  }

  /** What they would be with this one, or with it in place of the one with its id. */
  with(result: CommandResult): CommandResult[] {
    const isNew = !this.#all.some(({ id }) => id === result.id)
    const next = isNew
      ? [...this.#all, result]
      : this.#all.map((known) => (known.id === result.id ? result : known))
    return next.slice(-MAX_RESULTS)
  }

  put(result: CommandResult): void {
    if (result.command_status !== 'RUNNING') {
      this.#bytes.set(result, (JSON.stringify(result.command_result) ?? '').length)
    }
    this.#all = this.#bounded(this.with(result))
  }

  /** The newest result is never let go: the conductor compares its echo with what it sent. */
  #bounded(list: readonly CommandResult[]): CommandResult[] {
    const bytesOf = (result: CommandResult) => this.#bytes.get(result) ?? 0
    let sum = list.reduce((bytes, result) => bytes + bytesOf(result), 0)
    return list.map((result, i) => {
      const bytes = bytesOf(result)
      if (sum <= MAX_RESULT_BYTES || bytes < LARGE_BYTES || i === list.length - 1) return result
      sum -= bytes
      return { ...result, command_result: { dropped: `${bytes} bytes, to bound memory` } }
    })
  }
}

function keepable(result: CommandResult): CommandResult {
  return { ...result, command_result: keptResult(result.command_result) }
}

function asEnded(result: CommandResult): CommandResult {
  if (result.command_status !== 'RUNNING') return result
  const error = {
    type: 'CommandExecutionError',
    code: 500,
    message: 'Command execution failed',
    details: INTERRUPTED,
  }
  return { ...result, command_status: 'FAILED', command_error: error, command_result: null }
}

/**
 * The results of a commands.json. A file that is not one of ours cannot be told from a lost one, and an
 * empty list would make Ironic skip the step that ran: one entry says that something was lost.
 */
function parseHistory(text: string | undefined): CommandResult[] {
  if (text === undefined) return []
  try {
    const parsed: unknown = JSON.parse(text)
    if (Array.isArray(parsed) && parsed.every(isResult)) return parsed
  } catch {
    // falls through: neither is it JSON
  }
  return [
    {
      id: '00000000-0000-4000-8000-000000000000',
      command_name: 'execute_deploy_step',
      command_status: 'RUNNING',
      command_error: null,
      command_result: null,
    },
  ]
}

function isResult(value: unknown): value is CommandResult {
  return (
    isObject(value) &&
    typeof value['id'] === 'string' &&
    typeof value['command_name'] === 'string' &&
    STATUSES.includes(String(value['command_status'])) &&
    (value['command_error'] === null || isObject(value['command_error']))
  )
}
