// SPDX-License-Identifier: Apache-2.0
// Owns running external commands: the only import of execa. Argument vectors only, never a shell;
// every run has a deadline, bounded output and dies with its signal.
import type { Readable } from 'node:stream'
import { execa } from 'execa'
import { timerMs } from '../core/deadline.ts'
import { AgentError } from '../core/errors.ts'
import { MiB } from '../core/units.ts'

export interface ExecResult {
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: number
}

export interface ExecOptions {
  /** Deadline, ms; 60 s unless given. */
  readonly timeoutMs?: number
  /** Exit codes that are answers, not failures; [0] unless given. */
  readonly okExitCodes?: readonly number[]
  /** Written to stdin. Secrets go here, never into argv: the process list is public. */
  readonly input?: string | Uint8Array
  /** Its stdin instead of `input`: a program that reads until the end lives as long as it, or as this process. */
  readonly stdin?: Readable
  readonly env?: Readonly<Record<string, string>>
  /** The folder it runs in; the agent's own unless given. */
  readonly cwd?: string
  /** Bound on each of stdout and stderr, bytes. */
  readonly maxBytes?: number
  readonly signal?: AbortSignal
  /** Takes stdout as it comes, unbounded; the result's is then empty. */
  readonly onStdout?: (bytes: Uint8Array) => void
  /** The last bytes of each of stdout and stderr are kept, however much comes, instead of `maxBytes` that end it. */
  readonly tailBytes?: number
}

/** Runs `argv[0]` with the rest as arguments. Throws ProcessError for any other exit code, a signal, a timeout. */
export type Exec = (
  argv: readonly [string, ...string[]],
  options?: ExecOptions,
) => Promise<ExecResult>

/**
 * Before the words of a program that would live on without this process, where that is killed: the kernel kills what comes
 * behind it when its parent is gone (prctl(2)), also after execve(2). By its path: BusyBox has a setpriv that knows no
 * such option, and its other programs take that before others.
 */
export const ENDS_WITH_PARENT = ['/usr/bin/setpriv', '--pdeathsig', 'KILL', '--'] as const

/** From SIGTERM to SIGKILL, ms. */
const KILL_AFTER_MS = 2000
/** From SIGKILL to the end of a process that does not sit in the kernel, ms. */
const END_AFTER_MS = 3000

/** Undefined for a process that is still there after it was killed, as one in uninterruptible sleep is (ps(1)). */
async function unlessItHangs<T>(
  running: Promise<T>,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<T | undefined> {
  const patienceMs = KILL_AFTER_MS + END_AFTER_MS
  const late = Promise.withResolvers<undefined>()
  let timer = setTimeout(late.resolve, timerMs(timeoutMs + patienceMs), undefined)
  const hurry = () => {
    clearTimeout(timer)
    timer = setTimeout(late.resolve, patienceMs, undefined)
  }
  signal?.addEventListener('abort', hurry, { once: true })
  try {
    return await Promise.race([running, late.promise])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', hurry)
  }
}

/** What every program gets: output that can be parsed, and sbin, which a user's PATH on Debian lacks. */
export function programEnvironment(): { readonly LC_ALL: string; readonly PATH: string } {
  // biome-ignore lint/style/noProcessEnv: children inherit it; only PATH is looked at
  return { LC_ALL: 'C', PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` }
}

/** The Exec of the real machine, with LC_ALL=C so that output can be parsed. */
export const exec: Exec = async (argv, options = {}) => {
  const [command] = argv
  const timeoutMs = timerMs(options.timeoutMs ?? 60_000)
  const { running, output } = start(argv, options, timeoutMs)
  const result = await unlessItHangs(running, timeoutMs, options.signal)
  if (result === undefined) {
    throw new AgentError(
      'ProcessError',
      `${command}: killed, and has not ended: it hangs in the kernel (see dmesg), or what it started holds its output`,
    )
  }
  const { exitCode } = result
  const said = output?.() ?? {
    stdout: String(result.stdout ?? ''),
    stderr: String(result.stderr ?? ''),
  }
  // one that was told to end may do so with any exit code: it is no answer
  const isAnswer = !result.timedOut && !result.isCanceled
  if (isAnswer && exitCode !== undefined && (options.okExitCodes ?? [0]).includes(exitCode)) {
    return { ...said, exitCode }
  }
  throw new AgentError('ProcessError', `${command}: ${reasonOf(result, said.stderr, timeoutMs)}`, {
    cause: result.cause,
  })
}

/** The program, and what it has said where that is not kept by execa. */
function start(
  [command, ...args]: readonly [string, ...string[]],
  options: ExecOptions,
  timeoutMs: number,
) {
  const { onStdout, tailBytes } = options
  const running = execa(command, args, {
    reject: false,
    stripFinalNewline: false,
    timeout: timeoutMs,
    forceKillAfterDelay: KILL_AFTER_MS,
    maxBuffer: options.maxBytes ?? 16 * MiB,
    env: { ...programEnvironment(), ...options.env },
    ...stdinOf(options),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.signal ? { cancelSignal: options.signal } : {}),
    buffer: { stdout: !onStdout && !tailBytes, stderr: !tailBytes },
  })
  if (onStdout) running.stdout?.on('data', onStdout)
  if (!tailBytes) return { running, output: undefined }
  const stdout = onStdout ? () => '' : tailOf(running.stdout, tailBytes)
  const stderr = tailOf(running.stderr, tailBytes)
  return { running, output: () => ({ stdout: stdout(), stderr: stderr() }) }
}

function stdinOf({ input, stdin }: ExecOptions) {
  if (input === undefined && stdin === undefined) return { stdin: 'ignore' as const }
  return { input: input ?? (stdin as Readable) }
}

interface Outcome {
  readonly exitCode?: number | undefined
  readonly timedOut: boolean
  readonly isCanceled: boolean
  readonly signal?: string | undefined
  readonly code?: string | undefined
}

/** The end of what a program prints without end. */
export interface Tail {
  add(bytes: Uint8Array): void
  /** The last bytes, as UTF-8: the first character may be a broken one. */
  text(): string
}

/** Keeps the last `maxBytes`, at most twice as much and what came last in memory. */
export function createTail(maxBytes: number): Tail {
  let kept = Buffer.alloc(0)
  return {
    add: (bytes) => {
      kept = Buffer.concat([kept, bytes.subarray(-maxBytes)])
      if (kept.length > 2 * maxBytes) kept = kept.subarray(-maxBytes)
    },
    text: () => kept.subarray(-maxBytes).toString('utf8'),
  }
}

/** What has come of the stream last. */
function tailOf(stream: Readable | null, tailBytes: number): () => string {
  const tail = createTail(tailBytes)
  stream?.on('data', tail.add)
  return tail.text
}

function reasonOf(result: Outcome, stderr: string, timeoutMs: number): string {
  if (result.timedOut) return `no end after ${timeoutMs / 1000} s; killed`
  if (result.isCanceled) return 'cancelled'
  if (result.code === 'ENOENT') return 'command not found; install it in the ramdisk'
  const tail = stderr.trim().slice(-500)
  const end = result.signal ? `killed by ${result.signal}` : `exit code ${result.exitCode ?? '?'}`
  return tail ? `${end}: ${tail}` : end
}
