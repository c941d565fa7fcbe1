// SPDX-License-Identifier: Apache-2.0
// Owns running commands: which may start, one at a time, and what becomes of their ends (contract 4.2 to
// 4.6). Does not know HTTP, and does not know what any command does.
import { randomUUID } from 'node:crypto'
import { sleep, withDeadline } from '../core/deadline.ts'
import { AgentError, toAgentError, type WireError } from '../core/errors.ts'
import { type JsonObject, snakeCase } from '../core/json.ts'
import { redactBounded } from '../core/redact.ts'
import type { EventStream } from '../telemetry/event-stream.ts'
import type { Logger } from '../telemetry/logger.ts'
import { within } from '../telemetry/operation.ts'
import type {
  AnyCommand,
  CommandCall,
  CommandContext,
  CommandResult,
  Extension,
} from './command.ts'
import { openHistory } from './history.ts'
import { keptResult } from './kept-result.ts'

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

/**
 * How long a request waits for a synchronous command before it: the conductor gives up after 60 s and
 * would send its command again (contract 8.1).
 */
const LOCK_PATIENCE_MS = 50_000
/** What a command that watches its signal needs to leave its disk unbootable, and more, ms. */
export const CLOSE_DEADLINE_MS = 10_000

interface Running {
  readonly result: CommandResult
  readonly subject: string | undefined
  /** Monotonic, ms. */
  readonly startedAt: number
  /** Called at the command's end, or when the runner gives up waiting for it. */
  readonly waiting: Set<(result: CommandResult) => void>
}

/**
 * A runner that goes on with the list an earlier process of this boot left. To be made after the lookup:
 * a token that is handed out anew drops that list. Throws InvalidConfigError if it cannot be read.
 */
export function createRunner(options: RunnerOptions): CommandRunner {
  const { log, events } = options
  const history = openHistory(options.runDir)
  const extensions = new Map(options.extensions.map((extension) => [extension.name, extension]))
  const closing = new AbortController()
  for (const { id, command_name } of history.interrupted) {
    log.warn({ command_id: id, command_name }, 'command was interrupted by a restart')
  }
  let running: Running | undefined
  let lock: Promise<void> = Promise.resolve()
  let lockedBy = ''
  let withProgress: { readonly progress: object; readonly result: CommandResult } | undefined

  /** Runs `work` after all that asked before. Throws AgentIsBusy when they take too long. */
  const exclusively = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const before = lock
    const turn = Promise.withResolvers<void>()
    lock = before.then(() => turn.promise)
    try {
      await withDeadline(before, LOCK_PATIENCE_MS, () => busy(lockedBy))
      lockedBy = name
      return await work()
    } finally {
      turn.resolve()
    }
  }

  const shown = (result: CommandResult): CommandResult => {
    const { command } = events.snapshot()
    const { commandId, progress = null } = command ?? {}
    if (commandId !== result.id || progress === null) return result
    if (withProgress?.progress !== progress || withProgress.result.id !== result.id) {
      withProgress = { progress, result: inProgress(result, progress) }
    }
    return withProgress.result
  }

  const tell = (
    { id, command_name, command_status, command_error }: CommandResult,
    subject: string | undefined,
    startedAt?: number,
  ) =>
    events.publish({
      type: 'command',
      commandId: id,
      name: command_name,
      ...(subject === undefined ? {} : { subject }),
      status: command_status,
      error: command_error,
      ...(startedAt === undefined ? {} : { durationMs: Math.round(performance.now() - startedAt) }),
    })

  const get = (id: string): CommandResult => {
    const result = history.get(id)
    if (result !== undefined) return shown(result)
    throw new AgentError(
      'RequestedObjectNotFoundError',
      `Command Result with id ${id.slice(0, 100)} not found.`,
    )
  }

  const contextFor = ({ command_name }: CommandResult): CommandContext => ({
    signal: closing.signal,
    events: within(events, command_name),
  })

  const runSync = async (call: CommandCall, name: string, subject: string | undefined) => {
    const blank = newResult(name)
    const startedAt = performance.now()
    let result: CommandResult
    try {
      result = succeeded(blank, await call(contextFor(blank)), '')
    } catch (error) {
      // A refusal of the parameters is the caller's affair and leaves no result (contract 4.4 b).
      if (toAgentError(error).status === 400) throw error
      result = failed(blank, error)
    }
    record(result)
    tell(result, subject, startedAt)
    return result
  }

  /** RUNNING is in the run directory before the command starts: else a restart would forget it. */
  const startAsync = (
    call: CommandCall,
    name: string,
    subject: string | undefined,
  ): CommandResult => {
    const result = newResult(name)
    history.put(result)
    const started: Running = { result, subject, startedAt: performance.now(), waiting: new Set() }
    running = started
    tell(result, subject)
    void Promise.resolve()
      .then(() => call(contextFor(result)))
      .then((value) => succeeded(result, keptResult(value), `${name}: `))
      .catch((error: unknown) => failed(result, error))
      .then((ended) => finish(ended, started))
    return result
  }

  const finish = (ended: CommandResult, { waiting, subject, startedAt }: Running): void => {
    record(ended)
    const result = history.get(ended.id) ?? ended
    running = undefined
    tell(result, subject, startedAt)
    const { command_name, command_status, command_error } = result
    log.info(
      { command_id: result.id, command_name, command_status, command_error },
      'command ended',
    )
    for (const tellEnd of waiting) tellEnd(result)
    try {
      options.onFinished?.(result)
    } catch (err) {
      log.error({ err }, 'listener of finished commands failed')
    }
  }

  /** Where the run directory fails, RUNNING stays there, which a restart reads as FAILED: safe. */
  const record = (result: CommandResult) => {
    try {
      history.put(result)
    } catch (err) {
      log.error({ err, command_id: result.id }, 'command result not kept')
      history.putInMemory(result)
    }
  }

  const assertIdle = () => {
    if (running !== undefined) throw busy(running.result.command_name)
  }

  const begin = async (fullName: string, params: JsonObject) => {
    if (closing.signal.aborted) throw new AgentError('CommandExecutionError', 'agent is stopping')
    const [extensionName, name] = splitName(fullName)
    assertIdle()
    const command = findCommand(extensions, extensionName, name)
    const call = command.parse(params)
    log.info({ command_name: fullName, kind: command.kind }, 'command started')
    const begun = [call, name, command.subjectOf?.(params)] as const
    return command.kind === 'sync' ? await runSync(...begun) : startAsync(...begun)
  }

  return {
    get,
    assertIdle,
    list: () => history.list().map(shown),
    whenDone: async (id, signal) =>
      running?.result.id === id ? await endOf(running, signal) : get(id),
    execute: (fullName, params) => exclusively(fullName, () => begin(fullName, params)),
    close: async () => {
      closing.abort(new AgentError('CancelledError', 'the agent was stopped'))
      const last = running
      const patience = new AbortController()
      const deadline = sleep(CLOSE_DEADLINE_MS, patience.signal)
      await Promise.race([last ? endOf(last) : lock, deadline])
      patience.abort()
      await deadline.catch(() => undefined)
      for (const tellEnd of last?.waiting ?? []) tellEnd(get(last?.result.id ?? ''))
    },
  }
}

/** Who stops waiting leaves nothing behind, however long the command runs. */
async function endOf({ waiting }: Running, signal?: AbortSignal): Promise<CommandResult> {
  signal?.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<CommandResult>()
  const leave = () => reject(signal?.reason)
  waiting.add(resolve)
  signal?.addEventListener('abort', leave)
  try {
    return await promise
  } finally {
    waiting.delete(resolve)
    signal?.removeEventListener('abort', leave)
  }
}

function splitName(fullName: string): [string, string] {
  const dot = fullName.indexOf('.')
  if (dot > 0 && dot < fullName.length - 1) {
    return [fullName.slice(0, dot), fullName.slice(dot + 1)]
  }
  throw new AgentError('InvalidCommandError', 'Command name must be of the form <extension>.<name>')
}

function findCommand(
  extensions: ReadonlyMap<string, Extension>,
  extensionName: string,
  name: string,
): AnyCommand {
  const extension = extensions.get(extensionName)
  if (extension === undefined) {
    throw new AgentError(
      'RequestedObjectNotFoundError',
      `Extension with id ${extensionName.slice(0, 100)} not found.`,
    )
  }
  const command = Object.hasOwn(extension.commands, name) ? extension.commands[name] : undefined
  if (command !== undefined) return command
  throw new AgentError('InvalidCommandError', `Unknown command: ${name.slice(0, 100)}`)
}

function busy(name: string): AgentError {
  return new AgentError('AgentIsBusy', `executing command ${name.split('.').at(-1)}`)
}

function newResult(name: string): CommandResult {
  return {
    id: randomUUID(),
    command_name: name,
    command_status: 'RUNNING',
    command_error: null,
    command_result: null,
  }
}

/** Its keys as those of all that is on the wire. */
function inProgress(result: CommandResult, progress: object): CommandResult {
  return { ...result, command_result: { progress: snakeCase(progress) } }
}

/** Text is wrapped, with the command's name in front where it is async (contract 4.3). */
function succeeded(result: CommandResult, value: unknown, prefix: string): CommandResult {
  const wrapped = typeof value === 'string' ? { result: `${prefix}${value}` } : (value ?? null)
  // What cannot be written as JSON would break every later list: it fails here, as this command.
  JSON.stringify(wrapped)
  return { ...result, command_status: 'SUCCEEDED', command_result: wrapped }
}

/** VersionMismatch has a status of its own, by which Ironic knows to ask for the steps again (5.1). */
function failed(result: CommandResult, thrown: unknown): CommandResult {
  const error = toAgentError(thrown)
  const wire: WireError = { ...error.toWire(), details: redactBounded(error.details) }
  const status = error.type === 'VersionMismatch' ? 'CLEAN_VERSION_MISMATCH' : 'FAILED'
  return { ...result, command_status: status, command_error: wire }
}
