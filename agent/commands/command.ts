// SPDX-License-Identifier: Apache-2.0
// Owns the shapes of commands, their results and the extensions that offer them (contract 4.3, 5).
import type { WireError } from '../core/errors.ts'
import type { Progress } from '../core/events.ts'
import type { JsonObject } from '../core/json.ts'

export type CommandStatus = 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CLEAN_VERSION_MISMATCH'

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
  readonly commandId: string
  /** Aborts when the agent stops. */
  readonly signal: AbortSignal
  /** Shown as `command_result.progress` while the command is RUNNING. */
  progress(progress: Progress): void
}

/** One command of an extension. `sync` runs inside of the request, `async` is answered RUNNING at once. */
export interface Command {
  readonly kind: 'sync' | 'async'
  /** Throws InvalidCommandParamsError; the POST is then answered 400 and nothing is recorded. */
  readonly validate?: (params: JsonObject) => void
  readonly run: (params: JsonObject, context: CommandContext) => Promise<unknown>
}

/** A command extension with Ironic's name: `standby`, `deploy`, `image`, … */
export interface Extension {
  readonly name: string
  readonly commands: Readonly<Record<string, Command>>
}
