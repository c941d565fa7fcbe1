// SPDX-License-Identifier: Apache-2.0
// Owns what a command that failed leaves to be told besides the error itself. How it is told is exit-codes.ts's.
import type { AgentError } from '../core/errors.ts'
import { toAgentError } from '../core/errors.ts'

/** An error with facts about what it leaves behind; `cause` is the error itself. */
export class CommandFailure extends Error {
  override readonly cause: unknown
  /** Of the JSON object besides `error`. */
  readonly fields: Readonly<Record<string, unknown>>
  /** A sentence behind that of the error. */
  readonly afterword: string | undefined

  constructor(
    cause: unknown,
    fields: Readonly<Record<string, unknown>>,
    afterword?: string | undefined,
  ) {
    super('command failed', { cause })
    this.name = 'CommandFailure'
    this.cause = cause
    this.fields = fields
    this.afterword = afterword
  }
}

/** Any thrown value taken apart. */
export function failureOf(thrown: unknown): {
  readonly error: unknown
  readonly wire: ReturnType<AgentError['toWire']>
  readonly fields: Readonly<Record<string, unknown>>
  readonly afterword: string | undefined
} {
  const isTold = thrown instanceof CommandFailure
  const error = isTold ? thrown.cause : thrown
  const wire = toAgentError(error).toWire()
  return isTold
    ? { error, wire, fields: thrown.fields, afterword: thrown.afterword }
    : { error, wire, fields: {}, afterword: undefined }
}
