// SPDX-License-Identifier: Apache-2.0
// Owns what every command shares: what it is given, flags from the option table, loading the
// configuration, opening the log. Does not know any one command.
import { readdir } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { formatValue } from '../config/describe.ts'
import { type LoadedConfig, type LoadRequest, loadConfig, OPTION_NAMES } from '../config/load.ts'
import type { OptionRow } from '../config/option-row.ts'
import { allowedWords, rowOf } from '../config/option-value.ts'
import type { OptionName } from '../config/options.ts'
import { AgentError, messageOf } from '../core/errors.ts'
import type { Process } from '../system/process.ts'
import { createRoot, type Root } from '../system/root.ts'
import { createVirtualMediaReader } from '../system/virtual-media-reader.ts'
import { type EventLog, logEvents } from '../telemetry/event-log.ts'
import { createLogger, type Logger, type LogStream } from '../telemetry/logger.ts'
import { createPlainLog, type TellPerson } from './terminal/plain-log.ts'
import type { Keyboard } from './watch/keys.ts'

/** What a verb gets: the process, and the agent, which cli/ does not know. */
export interface CommandLine extends Process {
  /** main.ts brings it; imported by `run` alone. */
  readonly loadAgent: () => Promise<Agent>
  /** What somebody types on; left out where nobody does. */
  readonly keyboard?: () => Keyboard
}

/** Screens and serial lines that show the agent until disposed of. */
export interface AgentConsoles extends Disposable {
  readonly notOpened: readonly object[]
  onRetry(on: () => void): Disposable
}

/** The agent, which cli/ does not know; `recentLog` are the last log lines. */
export interface Agent {
  /** Tells who this machine is, and of its interfaces as they come. */
  watchMachine(process: Process, root: Root): Disposable
  openConsoles(process: Process, paths: readonly string[], recentLog: () => string): AgentConsoles
  /** From its configuration to its end. */
  run(
    process: Process,
    context: Context,
    recentLog: () => string,
    consoles: AgentConsoles,
  ): Promise<void>
}

/** What a command works with once its configuration is loaded. */
export interface Context {
  readonly loaded: LoadedConfig
  readonly root: Root
  readonly log: Logger
  /** The lines of events in that log. */
  readonly eventLog: EventLog
}

/**
 * A flag for every option that is no secret: a process list is public. They show in the help of `run`
 * and `config`; elsewhere they work but would bury the flags of the command.
 */
export function addConfigFlags(command: Command, isShown: boolean): Command {
  const add = (flags: string, doc: string, parse?: (text: string, before: string) => string) => {
    const option = new Option(flags, doc).hideHelp(!isShown)
    if (parse) option.argParser(parse)
    command.addOption(option)
  }
  const gather = (text: string, before: string | undefined) =>
    before === undefined ? text : `${before}\n${text}`
  add('--config-file <path>', 'INI file instead of the default ones; repeatable', gather)
  add('--config-dir <path>', 'directory of *.conf files instead of the default; repeatable', gather)
  for (const name of OPTION_NAMES) {
    const row = rowOf(name)
    if (row.secret) continue
    const flag = name.replaceAll('_', '-')
    if (row.type === 'bool') {
      add(`--${flag}`, row.default === true ? `${row.doc} (default)` : row.doc)
      add(`--no-${flag}`, `not: ${row.doc}`)
    } else if (row.type === 'list') {
      add(`--${flag} <list>`, `${row.doc}; repeatable${defaultWords(row)}`, gather)
    } else {
      add(`--${flag} <${row.type}>`, `${row.doc} (${allowedWords(row)}${defaultWords(row)})`)
    }
  }
  return command
}

/** True for the value of an option of the table, by commander's name. */
export function isConfigFlag(attribute: string): boolean {
  return OPTION_NAMES.some((name) => camelCase(name) === attribute)
}

/** `; default 600`; nothing where none is set. */
function defaultWords(row: OptionRow): string {
  const text = formatValue(row.default)
  return text === '-' ? '' : `; default ${text}`
}

function typedFlags(command: Command): Partial<Record<OptionName, string>> {
  const flags: Partial<Record<OptionName, string>> = {}
  for (const name of OPTION_NAMES) {
    const attribute = camelCase(name)
    const value = command.getOptionValue(attribute)
    if (value !== undefined && command.getOptionValueSource(attribute) === 'cli') {
      flags[name] = String(value)
    }
  }
  return flags
}

/** How commander names the value of `--some-flag`. */
function camelCase(name: string): string {
  return name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
}

/** Where and how a command logs. */
export interface LogOutput {
  /**
   * `journal`: JSON from info on, to stdout; `program`: the same to stderr, stdout is for the result;
   * `person`: warnings as plain lines on stderr. With `debug` the latter is JSON too, and all say more.
   */
  readonly reader: 'journal' | 'program' | 'person'
  readonly copyTo?: LogStream
  /** Where a person reads them, and where a terminal is shared with a line that is written over; stderr unless given. */
  readonly tell?: TellPerson
}

/**
 * Loads the configuration and opens the log.
 * @throws InvalidConfigError
 */
export async function openContext(
  line: CommandLine,
  command: Command,
  output: LogOutput,
): Promise<Context> {
  const settings = settingsOf(line, command)
  for (const path of settings.configDirs ?? []) await requireFolder(path)
  const loaded = await loadConfig({
    ...settings,
    virtualMedia: createVirtualMediaReader,
  })
  const root = createRoot(loaded.config.os_root)
  const log = openLog(line, loaded.config.debug, output)
  for (const warning of loaded.warnings) log.warn({ warning }, 'configuration')
  return { loaded, root, log, eventLog: logEvents(line.events, log) }
}

/** Where the settings of a command come from, but for virtual media. */
export function settingsOf({ env }: CommandLine, command: Command): LoadRequest {
  const paths = (attribute: string) => {
    const text = command.getOptionValue(attribute) as string | undefined
    return (text?.split('\n') ?? []).map((path) => resolve(path))
  }
  return {
    argvFlags: typedFlags(command),
    env,
    openTree: createRoot,
    configFiles: paths('configFile'),
    configDirs: paths('configDir'),
  }
}

/** One that is not there has no files, and nobody would miss them. Throws InvalidConfigError. */
async function requireFolder(path: string): Promise<void> {
  await readdir(path).catch((cause: unknown) => {
    const details = `cannot read the folder of --config-dir: ${messageOf(cause)}`
    throw new AgentError('InvalidConfigError', details, { cause })
  })
}

function openLog(line: CommandLine, isDebug: boolean, output: LogOutput): Logger {
  const { reader, copyTo } = output
  const tell = output.tell ?? ((text: string) => void line.stderr.write(`${text}\n`))
  const stream = reader === 'journal' ? line.stdout : line.stderr
  const copy = copyTo ? { copyTo } : {}
  // what is written past a line that is written over stands in the middle of it
  const isShared = output.tell !== undefined && stream.isTTY === true
  const raw = isShared ? { write: (text: string) => tell(text.trimEnd()) } : (stream.fd ?? stream)
  if (isDebug) return createLogger({ level: 'debug', destination: raw, ...copy })
  const destination = reader === 'person' ? createPlainLog(tell) : raw
  return createLogger({ level: 'info', destination, ...copy })
}
