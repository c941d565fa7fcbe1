// SPDX-License-Identifier: Apache-2.0
// Owns the exit codes and the one line a failed command says. docs/cli.md is tested against the table.
import { oneLine } from '../core/cut-text.ts'
import { isAgentError, messageOf } from '../core/errors.ts'
import { redactBounded } from '../core/redact.ts'

export const EXIT_CODES = {
  ok: { code: 0, meaning: 'done; for write and verify: the disk holds the image' },
  failed: { code: 1, meaning: 'the operation failed; the line on stderr says why' },
  usage: { code: 2, meaning: 'wrong flags, configuration or input file' },
  notVerified: { code: 3, meaning: 'the bytes are not those of the image' },
  inUse: { code: 4, meaning: 'the target is mounted or held by something else' },
  interrupted: { code: 130, meaning: 'Ctrl-C; seed and watch, once they run, end with 0' },
  terminated: { code: 143, meaning: 'SIGTERM; run, seed and watch end with 0' },
} as const satisfies Record<string, { code: number; meaning: string }>

const CODE_OF_TYPE: Readonly<Record<string, keyof typeof EXIT_CODES>> = {
  InvalidConfigError: 'usage',
  InvalidCommandParamsError: 'usage',
  InvalidMetainfoError: 'usage',
  ImageChecksumError: 'notVerified',
  ReadBackMismatchError: 'notVerified',
  TargetInUseError: 'inUse',
}

/** The exit code of a thrown value. */
export function exitCodeOf(error: unknown): number {
  if (!isAgentError(error)) return EXIT_CODES.failed.code
  // a digest that cannot be used: no byte was compared
  const isUnusable = error.type === 'ImageChecksumError' && error.kind === 'operator'
  return EXIT_CODES[isUnusable ? 'usage' : (CODE_OF_TYPE[error.type] ?? 'failed')].code
}

/**
 * `ironswarm: <Type>: <what happened and what to change>`, one line, without secrets.
 * @param afterword a sentence on what is left behind
 */
export function errorLine(error: unknown, afterword?: string): string {
  const text = isAgentError(error)
    ? `${error.type}: ${error.details}`
    : `${error instanceof Error ? error.name : 'Error'}: ${messageOf(error)}`
  const rest = afterword === undefined ? '' : `. ${redactBounded(afterword)}`
  const line = redactBounded(text)
    .replaceAll(/\s*\n\s*/g, ' ')
    .replace(/\.$/, '')
  return oneLine(`ironswarm: ${line}${rest}`)
}

/** The exit codes as `--help` shows them. */
export function exitCodeHelp(): string {
  const rows = Object.values(EXIT_CODES).map(
    ({ code, meaning }) => `  ${String(code).padEnd(5)}${meaning}`,
  )
  return `\nExit codes:\n${rows.join('\n')}`
}
