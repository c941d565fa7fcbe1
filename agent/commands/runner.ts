// SPDX-License-Identifier: Apache-2.0
// Owns running commands: which may start, one at a time, and what becomes of their ends (contract 4.2 to
// 4.6). Does not know HTTP, and does not know what any command does.
import { sleep } from '../core/deadline.ts'
import { AgentError, toAgentError } from '../core/errors.ts'
import type { JsonObject } from '../core/json.ts'
import type { EventStream } from '../telemetry/event-stream.ts'
import type { Logger } from '../telemetry/logger.ts'
import { within } from '../telemetry/operation.ts'
import type { CommandCall, CommandContext, CommandResult, Extension } from './command.ts'
import { busy, CommandLock } from './command-lock.ts'
import { findCommand } from './find-command.ts'
import { type CommandHistory, openHistory } from './history.ts'
import { keptResult } from './kept-result.ts'
import { failed, inProgress, newResult, succeeded } from './result.ts'
import { RunningCommand } from './running-command.ts'

export interface RunnerOptions {
  readonly extensions: readonly Extension[]
  readonly runDir: string
  readonly log: Logger
  /** Hears of commands; what the running one tells is read from its snapshot. */
  readonly events: Pick<EventStream, 'publish' | 'snapshot'>
  /** An asynchronous command has ended: time for a forced heartbeat. */
  readonly onFinished?: (result: CommandResult) => void
}

export interface CommandRunner {
  /**
   * Starts `<extension>.<command>`. A sync command is over when this resolves, its result is whole, and
   * only here: what is kept has no long texts. An async one is RUNNING.
   * Throws InvalidCommandError, RequestedObjectNotFoundError, AgentIsBusy and
   * InvalidCommandParamsError; any other failure is a result.
   */
  execute(name: string, params: JsonObject): Promise<CommandResult>
  /**
   * Oldest first; the running command shows its progress. Results do not change: one with other content is
   * another object.
   */
  list(): readonly CommandResult[]
  /** Throws RequestedObjectNotFoundError. */
  get(id: string): CommandResult
  /**
   * Resolves when the command has ended, or the runner was closed; rejects with the signal's reason.
   * Throws RequestedObjectNotFoundError.
   */
  whenDone(id: string, signal?: AbortSignal): Promise<CommandResult>
  /** Throws AgentIsBusy while an asynchronous command runs. */
  assertIdle(): void
  /** Takes no more commands, aborts the running one and waits for its end; at most {@link CLOSE_DEADLINE_MS}. */
  close(): Promise<void>
}

/** What a command that watches its signal needs to leave its disk unbootable, and more, ms. */
export const CLOSE_DEADLINE_MS = 10_000

/**
 * A runner that goes on with the list an earlier process of this boot left. To be made after the lookup:
 * a token that is handed out anew drops that list. Throws InvalidConfigError if it cannot be read.
 */
export function createRunner(options: RunnerOptions): CommandRunner {
  const history = openHistory(options.runDir)
  for (const { id, command_name } of history.interrupted) {
    options.log.warn({ command_id: id, command_name }, 'command was interrupted by a restart')
  }
  return new Runner(options, history)
}

/** One call of a command that begins. */
interface Beginning {
  /** Without the extension. */
  readonly name: string
  readonly call: CommandCall
  readonly subject: string | undefined
}

class Runner implements CommandRunner {
  readonly #options: RunnerOptions
  readonly #history: CommandHistory
  readonly #lock = new CommandLock()
  readonly #closing = new AbortController()
  readonly #withProgress: (result: CommandResult) => CommandResult
  #running: RunningCommand | undefined

  constructor(options: RunnerOptions, history: CommandHistory) {
    this.#options = options
    this.#history = history
    this.#withProgress = showProgress(options.events)
  }

  execute(fullName: string, params: JsonObject): Promise<CommandResult> {
    return this.#lock.hold(fullName, () => this.#begin(fullName, params))
  }

  list(): readonly CommandResult[] {
    return this.#history.list().map(this.#withProgress)
  }

  get(id: string): CommandResult {
    const result = this.#history.get(id)
    if (result !== undefined) return this.#withProgress(result)
    throw new AgentError(
      'RequestedObjectNotFoundError',
      `Command Result with id ${id.slice(0, 100)} not found.`,
    )
  }

  async whenDone(id: string, signal?: AbortSignal): Promise<CommandResult> {
    return this.#running?.result.id === id ? await this.#running.whenEnded(signal) : this.get(id)
  }

  assertIdle(): void {
    if (this.#running !== undefined) throw busy(this.#running.result.command_name)
  }

  async close(): Promise<void> {
    this.#closing.abort(new AgentError('CancelledError', 'the agent was stopped'))
    const last = this.#running
    const patience = new AbortController()
    const deadline = sleep(CLOSE_DEADLINE_MS, patience.signal)
    await Promise.race([last ? last.whenEnded() : this.#lock.released(), deadline])
    patience.abort()
    await deadline.catch(() => undefined)
    last?.tellEnd(this.get(last.result.id))
  }

  async #begin(fullName: string, params: JsonObject): Promise<CommandResult> {
    if (this.#closing.signal.aborted) {
      throw new AgentError('CommandExecutionError', 'agent is stopping')
    }
    this.assertIdle()
    const { name, command } = findCommand(this.#options.extensions, fullName)
    const call = command.parse(params)
    this.#options.log.info({ command_name: fullName, kind: command.kind }, 'command started')
    const beginning = { name, call, subject: command.subjectOf?.(params) }
    return command.kind === 'sync' ? await this.#runSync(beginning) : this.#startAsync(beginning)
  }

  async #runSync({ name, call, subject }: Beginning): Promise<CommandResult> {
    const blank = newResult(name)
    const startedAt = performance.now()
    let result: CommandResult
    try {
      result = succeeded(blank, await call(this.#contextOf(blank)), '')
    } catch (error) {
      // A refusal of the parameters is the caller's affair and leaves no result (contract 4.4 b).
      if (toAgentError(error).status === 400) throw error
      result = failed(blank, error)
    }
    this.#record(result)
    this.#tell(result, subject, startedAt)
    return result
  }

  /** RUNNING is in the run directory before the command starts: else a restart would forget it. */
  #startAsync({ name, call, subject }: Beginning): CommandResult {
    const result = newResult(name)
    this.#history.put(result)
    const startedAt = performance.now()
    this.#running = new RunningCommand(result)
    this.#tell(result, subject)
    void Promise.resolve()
      .then(() => call(this.#contextOf(result)))
      .then((value) => succeeded(result, keptResult(value), `${name}: `))
      .catch((error: unknown) => failed(result, error))
      .then((ended) => this.#finish(ended, subject, startedAt))
    return result
  }

  #finish(ended: CommandResult, subject: string | undefined, startedAt: number): void {
    this.#record(ended)
    const result = this.#history.get(ended.id) ?? ended
    const running = this.#running
    this.#running = undefined
    this.#tell(result, subject, startedAt)
    const { log, onFinished } = this.#options
    const { id, command_name, command_status, command_error } = result
    log.info({ command_id: id, command_name, command_status, command_error }, 'command ended')
    running?.tellEnd(result)
    try {
      onFinished?.(result)
    } catch (err) {
      log.error({ err }, 'listener of finished commands failed')
    }
  }

  /** Where the run directory fails, RUNNING stays there, which a restart reads as FAILED: safe. */
  #record(result: CommandResult): void {
    try {
      this.#history.put(result)
    } catch (err) {
      this.#options.log.error({ err, command_id: result.id }, 'command result not kept')
      this.#history.putInMemory(result)
    }
  }

  /** @param startedAt monotonic, ms, of a command that has ended */
  #tell(result: CommandResult, subject: string | undefined, startedAt?: number): void {
    const { id, command_name, command_status, command_error } = result
    this.#options.events.publish({
      type: 'command',
      commandId: id,
      name: command_name,
      ...(subject === undefined ? {} : { subject }),
      status: command_status,
      error: command_error,
      ...(startedAt === undefined ? {} : { durationMs: Math.round(performance.now() - startedAt) }),
    })
  }

  #contextOf({ command_name }: CommandResult): CommandContext {
    return { signal: this.#closing.signal, events: within(this.#options.events, command_name) }
  }
}

/** A result as it is shown: that of the command that runs with its progress, the same object while that is the same. */
function showProgress(events: Pick<EventStream, 'snapshot'>) {
  let last: { readonly progress: object; readonly result: CommandResult } | undefined
  return (result: CommandResult): CommandResult => {
    const { commandId, progress = null } = events.snapshot().command ?? {}
    if (commandId !== result.id || progress === null) return result
    if (last?.progress !== progress || last.result.id !== result.id) {
      last = { progress, result: inProgress(result, progress) }
    }
    return last.result
  }
}
