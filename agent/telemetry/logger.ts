// SPDX-License-Identifier: Apache-2.0
// Owns the JSON log on stdout: the only import of pino. Every line passes the redaction of
// core/redact.ts on its way out, whoever wrote it. Does not decide what is worth a line.
import { pino } from 'pino'
import { MAX_TEXT_CHARS, redact, redactBounded } from '../core/redact.ts'
import { plainError } from './plain-error.ts'

export type Logger = pino.Logger

export type LogLevel = 'silent' | 'error' | 'warn' | 'info' | 'debug' | 'trace'

/** Where lines go when it is not a file descriptor: a buffer in tests. */
export interface LogStream {
  write(line: string): void
}

export interface LoggerOptions {
  readonly level: LogLevel
  /** File descriptor or stream; 1 (stdout) unless given. */
  readonly destination?: number | LogStream
  /** Gets every line too, after redaction: the memory that the log bundle is made of. */
  readonly copyTo?: LogStream
}

/**
 * A logger that writes each line synchronously, so that the last one survives a crash (pino's worker
 * transports lose it). Secrets of fields, child bindings, messages and errors are struck out.
 */
export function createLogger(options: LoggerOptions): Logger {
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      messageKey: 'msg',
      // errors keep their text, byte arrays become their length before pino spells each byte out
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => redactFields(withPlainErrors(fields)) as Record<string, unknown>,
      },
      // formatters.log does not see the bindings of children nor the message: the gate does
      hooks: {
        streamWrite: (line) => {
          const safe = redactLine(line)
          options.copyTo?.write(safe)
          return safe
        },
      },
      serializers: {
        err: (error: unknown) => (error instanceof Error ? plainError(error) : error),
      },
    },
    openStream(options.destination ?? 1),
  )
}

function openStream(target: number | LogStream): LogStream {
  if (typeof target !== 'number') return target
  const stream = pino.destination({ dest: target, sync: true })
  // a log nobody can take (full disk, closed pipe) is no reason to stop a deploy
  stream.on('error', () => undefined)
  return stream
}

/** One line of JSON without secrets; a line that is no JSON is at least freed of urls and tokens. */
function redactLine(line: string): string {
  try {
    return `${JSON.stringify(redactFields(JSON.parse(line)))}\n`
  } catch {
    return redactBounded(line)
  }
}

/** Texts in all of one line, characters; beyond it only their lengths are told. */
const MAX_LINE_CHARS = 64 * 1024

function redactFields(fields: unknown): unknown {
  let room = MAX_LINE_CHARS
  return redact(fields, {
    text: (text) => {
      const safe = redactBounded(text, Math.min(MAX_TEXT_CHARS, room))
      room = Math.max(0, room - safe.length)
      return safe
    },
  })
}

function withPlainErrors(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      value instanceof Error ? plainError(value) : value,
    ]),
  )
}
