// SPDX-License-Identifier: Apache-2.0
// Owns an error as a plain record: how log lines and events spell one. Does not strike out secrets.
import { isAgentError } from '../core/errors.ts'

/**
 * An error as log fields, with its chain of causes (at most five deep). The stack only where the type
 * is not ours: an AgentError says by itself what happened.
 */
export function plainError(error: unknown, depth = 0): Record<string, unknown> {
  if (!(error instanceof Error)) return { message: String(error) }
  const code = (error as NodeJS.ErrnoException).code
  return {
    type: error.name,
    message: error.message,
    ...(isAgentError(error) ? { kind: error.kind } : { stack: error.stack }),
    ...(code === undefined ? {} : { code }),
    ...(error.cause === undefined || depth >= 4
      ? {}
      : { cause: plainError(error.cause, depth + 1) }),
  }
}
