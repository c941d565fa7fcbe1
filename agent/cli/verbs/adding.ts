// SPDX-License-Identifier: Apache-2.0
// Owns how a command is added to the tree: its file is imported only when it runs. Knows no one command.
import type { Command } from 'commander'
import { AgentError } from '../../core/errors.ts'
import { addConfigFlags, type CommandLine, isConfigFlag } from '../command-line.ts'
import { helpBehind, type Verb } from '../verb.ts'

/** What a command does. */
export type Action = (line: CommandLine, command: Command) => Promise<void>

export interface AddOptions {
  /** Flags of the configuration show in its help. */
  readonly areOptionsShown?: boolean
}

/** Adds a command below `parent`. */
export type Add = (
  parent: Verb,
  name: string,
  doc: string,
  load: () => Promise<Action>,
  options?: AddOptions,
) => Verb

/**
 * Flags of the configuration are made for the commands that `argv` names: there are hundreds, and making all of
 * them takes as long as the rest of the start.
 * @param argv undefined: for every command
 */
export function createAdd(line: CommandLine, argv: readonly string[] | undefined): Add {
  return (parent, name, doc, load, { areOptionsShown = false } = {}) => {
    const made: Verb = parent.command(name).description(doc)
    if (argv === undefined || argv.includes(name)) addConfigFlags(made, areOptionsShown)
    made.addHelpText('after', () => helpBehind(made, made.configureOutput().getOutHelpWidth?.()))
    made.configureOutput({ outputError: errorWriter(`ironswarm ${made.path}`) })
    // words come before the options, where there are any
    return made.action(async (...given) => {
      const command = given.at(-1) as Command
      refuseEmpty(command)
      await (await load())(line, command)
    })
  }
}

/**
 * A variable of a shell that has no value: as a path it would be the folder one is in. Options of the table may be
 * empty, which is as good as not there. Throws InvalidCommandParamsError.
 */
function refuseEmpty(command: Command): void {
  const flags = command.options.filter(
    (option) => !isConfigFlag(option.attributeName()) && isEmpty(command, option.attributeName()),
  )
  const named = command.args.includes('') ? 'a word' : flags[0]?.long
  if (named === undefined) return
  throw new AgentError('InvalidCommandParamsError', `${named} is empty: has a variable no value?`)
}

function isEmpty(command: Command, attribute: string): boolean {
  return [command.getOptionValue(attribute)].flat().includes('')
}

/** A command that does nothing but hold others. */
export function addGroup(program: Verb, name: string, doc: string): Verb {
  const group: Verb = program.command(name).description(doc)
  group.configureOutput({ outputError: errorWriter(`ironswarm ${name}`) })
  return group
}

/** One line that says where help is. @param name the command that was called */
export function errorWriter(name: string): (text: string, write: (text: string) => void) => void {
  return (text, write) => {
    const words = text
      .trim()
      .replace(/^error: /, '')
      .replaceAll(/\s*\n\s*/g, ' ')
      .replace(/\.$/, '')
    write(`ironswarm: ${words}; see ${name} --help\n`)
  }
}
