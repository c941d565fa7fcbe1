// SPDX-License-Identifier: Apache-2.0
// Owns which command `<extension>.<command>` means. Does not run it (runner.ts).
import { AgentError } from '../core/errors.ts'
import type { AnyCommand, Extension } from './command.ts'

export interface NamedCommand {
  /** Without the extension. */
  readonly name: string
  readonly command: AnyCommand
}

/** Throws InvalidCommandError, RequestedObjectNotFoundError. */
export function findCommand(extensions: readonly Extension[], fullName: string): NamedCommand {
  const [extensionName, name] = splitName(fullName)
  const extension = extensions.find((each) => each.name === extensionName)
  if (extension === undefined) {
    throw new AgentError(
      'RequestedObjectNotFoundError',
      `Extension with id ${extensionName.slice(0, 100)} not found.`,
    )
  }
  const command = Object.hasOwn(extension.commands, name) ? extension.commands[name] : undefined
  if (command !== undefined) return { name, command }
  throw new AgentError('InvalidCommandError', `Unknown command: ${name.slice(0, 100)}`)
}

function splitName(fullName: string): [string, string] {
  const dot = fullName.indexOf('.')
  if (dot > 0 && dot < fullName.length - 1) {
    return [fullName.slice(0, dot), fullName.slice(dot + 1)]
  }
  throw new AgentError('InvalidCommandError', 'Command name must be of the form <extension>.<name>')
}
