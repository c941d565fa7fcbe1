// SPDX-License-Identifier: Apache-2.0
// Owns a program that bytes are passed through: written to and read from with back-pressure, its complaints
// bounded, a deadline on silence, killed when its owner is done. Argument vectors only, never a shell.
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { endedOrLate } from '../core/deadline.ts'
import { AgentError, messageOf } from '../core/errors.ts'
import { KiB } from '../core/units.ts'
import { programEnvironment } from './exec.ts'

export interface FilterOptions {
  /** Longest time in which the program neither takes nor gives anything, ms. */
  readonly silenceMs: number
  /** Kills the program. */
  readonly signal: AbortSignal
  /** Beside what every program is started with. */
  readonly env?: Readonly<Record<string, string>>
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
  { silenceMs, signal, env = {} }: FilterOptions,
): Filter {
  const [command, ...args] = argv
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...programEnvironment(), ...env },
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
      await silence.watch('given', Promise.race([taken.promise, ended.promise]))
      return !child.stdin.destroyed
    },
    end: () => {
      child.stdin.end()
      silence.noteEnd()
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
      await endedOrLate(ended.promise, END_AFTER_MS)
    },
  }
}

/**
 * The clock runs while the program could go on: what it gives is waited for, and it has been given something, or the end.
 * It starts anew with everything that comes or goes. A slow source of its input, or who is slow to take its output, is
 * no silence of the program.
 */
interface Silence {
  watch<T>(what: 'given' | 'asked', work: Promise<T>): Promise<T>
  /** Its input has ended. */
  noteEnd(): void
}

function createSilence(silenceMs: number, command: string, kill: () => void): Silence {
  const waits = { given: 0, asked: 0 }
  const late = new Set<(error: Error) => void>()
  let hasEnded = false
  let timer: NodeJS.Timeout | undefined
  const restart = () => {
    clearTimeout(timer)
    if (waits.asked === 0 || (waits.given === 0 && !hasEnded)) return
    timer = setTimeout(() => {
      kill()
      const error = new AgentError(
        'ProcessError',
        `${command}: took and gave nothing for ${silenceMs / 1000} s; killed`,
      )
      for (const fail of late) fail(error)
    }, silenceMs)
  }
  return {
    watch: async (what, work) => {
      const tooLate = Promise.withResolvers<never>()
      late.add(tooLate.reject)
      waits[what] += 1
      restart()
      try {
        return await Promise.race([work, tooLate.promise])
      } finally {
        late.delete(tooLate.reject)
        waits[what] -= 1
        restart()
      }
    },
    noteEnd: () => {
      hasEnded = true
      restart()
    },
  }
}

async function* readOut(stdout: Readable, silence: Silence): AsyncGenerator<Uint8Array, undefined> {
  const parts = stdout[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  while (true) {
    const { done, value } = await silence.watch('asked', parts.next())
    if (done) return
    yield value
  }
}

function startError(command: string, error: NodeJS.ErrnoException): AgentError {
  const reason =
    error.code === 'ENOENT' ? 'command not found; install it in the ramdisk' : messageOf(error)
  return new AgentError('ProcessError', `${command}: ${reason}`, { cause: error })
}
