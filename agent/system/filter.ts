// SPDX-License-Identifier: Apache-2.0
// Owns a program that bytes are passed through: written to and read from with back-pressure, its complaints
// bounded, a deadline on silence, killed when its owner is done. Argument vectors only, never a shell.
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { AgentError, messageOf } from '../core/errors.ts'
import { KiB } from '../core/units.ts'
import { programEnvironment } from './exec.ts'

export interface FilterOptions {
  /** Longest time in which the program neither takes nor gives anything, ms. */
  readonly silenceMs: number
  /** Kills the program. */
  readonly signal: AbortSignal
}

/** Disposal kills the program where it still runs, and waits for its end. */
export interface Filter extends AsyncDisposable {
  /** Resolves when the program has taken the bytes; to false where it takes no more. Throws ProcessError. */
  write(bytes: Uint8Array): Promise<boolean>
  /** No more input. */
  end(): void
  /** What it gives, until its stdout ends. Throws ProcessError. */
  readonly output: AsyncIterable<Uint8Array>
  /** Resolves when the program has ended. Throws ProcessError for one that could not be started. */
  readonly ended: Promise<FilterEnd>
}

export interface FilterEnd {
  /** Null where a signal ended it. */
  readonly exitCode: number | null
  /** What it has complained of, the end of it. */
  readonly stderr: string
}

const MOST_STDERR_CHARACTERS = 4 * KiB
/** From SIGKILL to the end of a process that does not sit in the kernel, ms. */
const END_AFTER_MS = 5000

/** Starts `argv[0]` with the rest as arguments, with LC_ALL=C so that complaints can be read. */
export function startFilter(
  argv: readonly [string, ...string[]],
  { silenceMs, signal }: FilterOptions,
): Filter {
  const [command, ...args] = argv
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: programEnvironment(),
  })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-MOST_STDERR_CHARACTERS)
  })
  // one that ends early closes its stdin; why it did, its end tells
  child.stdin.on('error', () => undefined)
  const ended = Promise.withResolvers<FilterEnd>()
  ended.promise.catch(() => undefined)
  let isOver = false
  child.once('error', (error) => {
    isOver = true
    ended.reject(startError(command, error))
  })
  child.once('close', (exitCode) => {
    isOver = true
    ended.resolve({ exitCode, stderr: stderr.trim() })
  })
  const kill = () => child.kill('SIGKILL')
  signal.addEventListener('abort', kill, { once: true })
  if (signal.aborted) kill()
  const silence = createSilence(silenceMs, command, kill)
  return {
    write: async (bytes) => {
      if (isOver || child.stdin.destroyed) return false
      const taken = Promise.withResolvers<void>()
      child.stdin.write(bytes, () => taken.resolve())
      await silence.watch(Promise.race([taken.promise, ended.promise]))
      return !child.stdin.destroyed
    },
    end: () => {
      child.stdin.end()
    },
    output: { [Symbol.asyncIterator]: () => readOut(child.stdout, silence) },
    ended: ended.promise,
    [Symbol.asyncDispose]: async () => {
      signal.removeEventListener('abort', kill)
      if (isOver) return
      kill()
      // what nobody reads any more would keep its end from being told
      child.stdout.destroy()
      child.stdin.destroy()
      const late = Promise.withResolvers<void>()
      const timer = setTimeout(late.resolve, END_AFTER_MS)
      await Promise.race([ended.promise.catch(() => undefined), late.promise])
      clearTimeout(timer)
    },
  }
}

/** The clock runs while something is waited for, and starts anew with everything that comes or goes. */
interface Silence {
  watch<T>(work: Promise<T>): Promise<T>
}

function createSilence(silenceMs: number, command: string, kill: () => void): Silence {
  const waits = new Set<(error: Error) => void>()
  let timer: NodeJS.Timeout | undefined
  const restart = () => {
    clearTimeout(timer)
    if (waits.size === 0) return
    timer = setTimeout(() => {
      kill()
      const error = new AgentError(
        'ProcessError',
        `${command}: took and gave nothing for ${silenceMs / 1000} s; killed`,
      )
      for (const fail of waits) fail(error)
    }, silenceMs)
  }
  return {
    watch: async (work) => {
      const late = Promise.withResolvers<never>()
      waits.add(late.reject)
      restart()
      try {
        return await Promise.race([work, late.promise])
      } finally {
        waits.delete(late.reject)
        restart()
      }
    },
  }
}

async function* readOut(stdout: Readable, silence: Silence): AsyncGenerator<Uint8Array, undefined> {
  const chunks = stdout[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  while (true) {
    const { done, value } = await silence.watch(chunks.next())
    if (done) return
    yield value
  }
}

function startError(command: string, error: NodeJS.ErrnoException): AgentError {
  const reason =
    error.code === 'ENOENT' ? 'command not found; install it in the ramdisk' : messageOf(error)
  return new AgentError('ProcessError', `${command}: ${reason}`, { cause: error })
}
