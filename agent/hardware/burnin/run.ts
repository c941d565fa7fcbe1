// SPDX-License-Identifier: Apache-2.0
// Owns a program that burns something in: it runs for hours, tells of it now and then, and leaves the end of its output. Does
// not know any of them.
import { throwIfAborted } from '../../core/deadline.ts'
import { AgentError, isAgentError } from '../../core/errors.ts'
import { MiB } from '../../core/units.ts'
import type { Exec } from '../../system/exec.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { operation } from '../../telemetry/operation.ts'
import type { StepContext } from '../manager.ts'

export interface BurninDeps {
  readonly exec: Exec
  readonly log: Pick<Logger, 'info' | 'warn'>
}

export interface BurninRun {
  /** What is burned in: `cpu`. */
  readonly what: string
  readonly argv: readonly [string, ...string[]]
  /** How long it should run, s; 0 where nobody knows. */
  readonly seconds: number
  /** Longest it may run, ms. */
  readonly timeoutMs: number
  readonly cwd?: string
}

export interface BurninEnd {
  readonly exitCode: number
  /** The end of what it said on both, and the beginning where that is all. */
  readonly stdout: string
  readonly stderr: string
}

/** A line of the log, so that somebody sees that it lives. */
const TELL_EVERY_MS = 60_000
/** Of stdout, which programs fill for days. */
const MOST_OUTPUT_BYTES = 4 * MiB
const EVERY_EXIT_CODE = Array.from({ length: 256 }, (_, code) => code)

/**
 * Runs it to its end, whatever its exit code says. Throws CommandExecutionError where it could not be started, was killed or
 * has not ended in time; CancelledError.
 */
export async function runBurnin(
  { exec, log }: BurninDeps,
  { signal, events }: Pick<StepContext, 'signal' | 'events'>,
  { what, argv, seconds, timeoutMs, cwd }: BurninRun,
): Promise<BurninEnd> {
  const startedAt = performance.now()
  const telling = setInterval(() => {
    const elapsed = Math.round((performance.now() - startedAt) / 1000)
    log.info({ what, elapsed_s: elapsed, of_s: seconds || null }, 'burn-in running')
  }, TELL_EVERY_MS)
  telling.unref()
  const tail = createTail()
  try {
    return await operation(events, `burn in ${what}`, { argv }, async () => {
      const { exitCode, stderr } = await exec(argv, {
        signal,
        timeoutMs,
        okExitCodes: EVERY_EXIT_CODE,
        onStdout: tail.take,
        ...(cwd === undefined ? {} : { cwd }),
      })
      return { exitCode, stderr, stdout: tail.text() }
    })
  } catch (error) {
    throwIfAborted(signal)
    if (!isAgentError(error, 'ProcessError')) throw error
    const said = lastLines(tail.text(), 5)
    throw burninError(what, `${error.details}${said === '' ? '' : `; it said: ${said}`}`, error)
  } finally {
    clearInterval(telling)
  }
}

/** As ironic-python-agent reports it. */
export function burninError(what: string, details: string, cause?: unknown): AgentError {
  return new AgentError('CommandExecutionError', `burn-in of ${what}: ${details}`, { cause })
}

/** The end of a text, as one line. */
export function lastLines(text: string, count: number): string {
  const lines = text.split(/[\r\n]+/).map((line) => line.trim())
  return lines
    .filter((line) => line !== '')
    .slice(-count)
    .join(' | ')
    .slice(-1000)
}

function createTail() {
  let kept = Buffer.alloc(0)
  return {
    take: (bytes: Uint8Array) => {
      kept = Buffer.concat([kept, bytes])
      // let it grow to twice its size: one copy for many parts
      if (kept.length > 2 * MOST_OUTPUT_BYTES) kept = Buffer.from(kept.subarray(-MOST_OUTPUT_BYTES))
    },
    text: () => kept.toString('utf8'),
  }
}
