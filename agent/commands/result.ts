// SPDX-License-Identifier: Apache-2.0
// Owns what a command's result says at its beginning, while it runs and at its end (contract 4.3). Does not keep results
// (history.ts).
import { randomUUID } from 'node:crypto'
import { toAgentError, type WireError } from '../core/errors.ts'
import { snakeCase } from '../core/json.ts'
import { redactBounded } from '../core/redact.ts'
import type { CommandResult } from './command.ts'

/** The RUNNING one of a command that begins. */
export function newResult(commandName: string): CommandResult {
  return {
    id: randomUUID(),
    command_name: commandName,
    command_status: 'RUNNING',
    command_error: null,
    command_result: null,
  }
}

/** @param progress its keys become those of the wire, as of all that is on it */
export function inProgress(result: CommandResult, progress: object): CommandResult {
  return { ...result, command_result: { progress: snakeCase(progress) } }
}

/**
 * Text is wrapped, with the command's name in front where it is async (contract 4.3). Throws TypeError for what cannot
 * be JSON.
 */
export function succeeded(result: CommandResult, value: unknown, prefix: string): CommandResult {
  const wrapped = typeof value === 'string' ? { result: `${prefix}${value}` } : (value ?? null)
  // what cannot be written as JSON would break every later list: it fails here, as this command
  JSON.stringify(wrapped)
  return { ...result, command_status: 'SUCCEEDED', command_result: wrapped }
}

/** VersionMismatch has a status of its own, by which Ironic knows to ask for the steps again (contract 5.1). */
export function failed(result: CommandResult, thrown: unknown): CommandResult {
  const error = toAgentError(thrown)
  const wire: WireError = { ...error.toWire(), details: redactBounded(error.details) }
  const status = error.type === 'VersionMismatch' ? 'CLEAN_VERSION_MISMATCH' : 'FAILED'
  return { ...result, command_status: status, command_error: wire }
}
