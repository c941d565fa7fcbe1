// SPDX-License-Identifier: Apache-2.0
// Owns how the process is asked to end: Ctrl-C, SIGTERM, a crash nobody caught. Turns each into one
// AbortSignal and an exit code; commands only see the signal.
import { AgentError } from '../core/errors.ts'
import type { Logger } from '../telemetry/logger.ts'

/** The part of `process` that matters here. */
export interface ProcessEvents {
  on(event: 'SIGINT' | 'SIGTERM', listener: () => void): unknown
  on(event: 'uncaughtException' | 'unhandledRejection', listener: (error: unknown) => void): unknown
}

/** After a crash or a signal, cleaning up may take this long, ms. */
export const GRACE_MS = 20_000

export interface LifecycleOptions {
  readonly process: ProcessEvents
  readonly log: Logger
  /** Ends the process at once. */
  readonly exit: (code: number) => void
  readonly exitCodes: {
    /** After Ctrl-C. */
    readonly interrupted: number
    /** After SIGTERM. */
    readonly terminated: number
    readonly crashed: number
  }
}

export interface Lifecycle {
  readonly signal: AbortSignal
  /** The exit code that the reason to end asks for; undefined while there is none. */
  exitCode(): number | undefined
}

/**
 * Listens for the end of the process. The first Ctrl-C aborts the signal, the second ends the process at
 * once; an exception nobody caught is logged, redacted, and ends it after the command has closed,
 * so that a supervisor starts it anew.
 */
export function createLifecycle(options: LifecycleOptions): Lifecycle {
  const { exit, log, exitCodes } = options
  const controller = new AbortController()
  let code: number | undefined

  const end = (exitCode: number, why: string) => {
    code ??= exitCode
    if (!controller.signal.aborted) controller.abort(new AgentError('CancelledError', why))
    setTimeout(() => exit(code ?? exitCode), GRACE_MS).unref()
  }
  options.process.on('SIGINT', () => {
    if (code !== undefined) exit(exitCodes.interrupted)
    else end(exitCodes.interrupted, 'interrupted by Ctrl-C')
  })
  options.process.on('SIGTERM', () => end(exitCodes.terminated, 'terminated by SIGTERM'))
  const onCrash = (kind: string) => (error: unknown) => {
    log.error({ err: error instanceof Error ? error : new Error(String(error)), kind }, 'crashed')
    code = exitCodes.crashed
    end(code, `${kind}; see the log line before`)
  }
  options.process.on('uncaughtException', onCrash('uncaught exception'))
  options.process.on('unhandledRejection', onCrash('unhandled rejection'))
  return { signal: controller.signal, exitCode: () => code }
}
