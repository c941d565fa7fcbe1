// SPDX-License-Identifier: Apache-2.0
// Owns the reading of command parameters: every complaint is an InvalidCommandParamsError that names the
// parameter and what it should be. Does not know any one command.
import { withDeadline } from '../agent/core/deadline.ts'
import { AgentError } from '../agent/core/errors.ts'
import { isObject, type JsonObject } from '../agent/core/json.ts'

/**
 * The conductor gives an answer 60 s and then asks again (contract 8.1), so a synchronous command that is
 * not done by now must fail rather than run twice, ms.
 */
export const SYNC_DEADLINE_MS = 50_000

/** The error of a bad parameter. */
export function invalidParams(details: string): AgentError {
  return new AgentError('InvalidCommandParamsError', details)
}

/** Throws if `params` has a key that is not in `allowed`. */
export function assertOnly(command: string, params: JsonObject, allowed: readonly string[]): void {
  const unexpected = Object.keys(params).filter((key) => !allowed.includes(key))
  if (unexpected.length === 0) return
  const takes = allowed.length > 0 ? allowed.join(', ') : 'no parameters'
  throw invalidParams(`${command} does not take ${unexpected.join(', ')}; it takes ${takes}`)
}

/** The parse of a command that takes no parameters. */
export function noParams(command: string): (params: JsonObject) => void {
  return (params) => assertOnly(command, params, [])
}

/** The object at `key`; throws if there is none. */
export function requireObject(command: string, params: JsonObject, key: string): JsonObject {
  const value = params[key]
  if (isObject(value)) return value
  throw invalidParams(`${command} needs ${key} to be an object, got ${kindOf(value)}`)
}

/** The list of objects at `key`; empty if absent or null. */
export function objectList(command: string, params: JsonObject, key: string): JsonObject[] {
  const value = params[key] ?? []
  if (Array.isArray(value) && value.every(isObject)) return value
  throw invalidParams(`${command} needs ${key} to be a list of objects, got ${kindOf(value)}`)
}

/** The string at `key`, null if it is null or absent. */
export function optionalString(command: string, params: JsonObject, key: string): string | null {
  const value = params[key] ?? null
  if (value === null || typeof value === 'string') return value
  throw invalidParams(`${command} needs ${key} to be a string or null, got ${kindOf(value)}`)
}

/** The boolean at `key`, null if it is null or absent. */
export function optionalBoolean(command: string, params: JsonObject, key: string): boolean | null {
  const value = params[key] ?? null
  if (value === null || typeof value === 'boolean') return value
  throw invalidParams(`${command} needs ${key} to be true, false or null, got ${kindOf(value)}`)
}

/**
 * The work of a synchronous command, ended by CommandExecutionError after {@link SYNC_DEADLINE_MS}. Work
 * that hangs in the kernel is left behind.
 */
export async function answerInTime<T>(
  command: string,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timeout = () =>
    new AgentError(
      'CommandExecutionError',
      `${command} had no answer after ${SYNC_DEADLINE_MS / 1000} s; the machine or a disk hangs`,
    )
  const expiry = new AbortController()
  try {
    return await withDeadline(
      work(AbortSignal.any([signal, expiry.signal])),
      SYNC_DEADLINE_MS,
      timeout,
    )
  } finally {
    expiry.abort(timeout())
  }
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
