// SPDX-License-Identifier: Apache-2.0
// Owns the shapes of commands, their results and the extensions that offer them (contract 4.3, 5).
import type { WireError } from '../core/errors.ts'
import type { CommandStatus, EventPublisher } from '../core/events.ts'
import type { JsonObject } from '../core/json.ts'

/** The five keys of a result on the wire, no more and no fewer (contract 4.3). */
export interface CommandResult {
  readonly id: string
  /** Short name, without the extension. */
  readonly command_name: string
  readonly command_status: CommandStatus
  readonly command_error: WireError | null
  readonly command_result: unknown
}

/** What a running command gets from the runner. */
export interface CommandContext {
  /** Aborts when the agent stops. */
  readonly signal: AbortSignal
  /** Carries the command's name; progress shows as `command_result.progress` while it is RUNNING. */
  readonly events: EventPublisher
}

/** A command as its extension writes it; P is what its parameters are once they have been read. */
export interface Command<P> {
  /** `sync` runs inside of the request, `async` is answered RUNNING at once. */
  readonly kind: 'sync' | 'async'
  /** Throws InvalidCommandParamsError; the POST is then answered 400 and nothing is recorded. */
  readonly parse: (params: JsonObject) => P
  readonly run: (params: P, context: CommandContext) => Promise<unknown>
  /** See {@link AnyCommand.subjectOf}. */
  readonly subjectOf?: AnyCommand['subjectOf']
}

/** One call of a command whose parameters have been read. */
export type CommandCall = (context: CommandContext) => Promise<unknown>

/** A command as it is called: what its parameters become is its own affair. */
export interface AnyCommand {
  readonly kind: 'sync' | 'async'
  /** Throws InvalidCommandParamsError, see {@link Command.parse}. */
  readonly parse: (params: JsonObject) => CommandCall
  /** What people are told of these parameters beside the command's name: that of a step. */
  readonly subjectOf?: ((params: JsonObject) => string | undefined) | undefined
}

/** A command extension with Ironic's name: `standby`, `deploy`, `image`, … */
export interface Extension {
  readonly name: string
  readonly commands: Readonly<Record<string, AnyCommand>>
}

/** A command of any P as an extension offers it: what `parse` made goes to `run` and nowhere else. */
export function command<P>({ kind, parse, run, subjectOf }: Command<P>): AnyCommand {
  return {
    kind,
    subjectOf,
    parse: (params) => {
      const parsed = parse(params)
      return (context) => run(parsed, context)
    },
  }
}
