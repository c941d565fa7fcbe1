#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Owns the process: argv, environment, signals, exit code, and who is introduced to whom: the extensions
// to the agent, the agent to the command line. Does not parse and does not work; cli/ and daemon/ do.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { OutputStream } from './system/process.ts'

bearWithMemorySettings()

const [
  { EXIT_CODES },
  { createLifecycle },
  { runCommandLine },
  { createEventStream },
  { createLogger },
] = await Promise.all([
  import('./cli/exit-codes.ts'),
  import('./daemon/lifecycle.ts'),
  import('./cli/program.ts'),
  import('./telemetry/event-stream.ts'),
  import('./telemetry/logger.ts'),
]).catch(endWithoutPackages)

// an output that fails, for its reader has left as head does, or its disk is full, ends the output and not the work
let lostOutput: Error | undefined
process.stdout.on('error', noteLostOutput)
process.stderr.on('error', () => undefined)

const argv = process.argv.slice(2)
const isAgent = argv[0] === 'run'
const manifest: { version: string } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
)
const lifecycle = createLifecycle({
  process,
  // run logs to stdout for the journal; the others keep it for their result
  log: createLogger({ level: 'error', destination: isAgent ? 1 : 2 }),
  exitCodes: {
    interrupted: EXIT_CODES.interrupted.code,
    // being stopped is how an agent ends well
    terminated: isAgent ? EXIT_CODES.ok.code : EXIT_CODES.terminated.code,
    crashed: EXIT_CODES.failed.code,
  },
  exit: (code) => process.exit(code),
})
const code = await runCommandLine(argv, {
  // biome-ignore lint/style/noProcessEnv: the one place; everything below is given it
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: lifecycle.signal,
  events: createEventStream({ now: () => Date.now() }),
  now: () => Date.now(),
  random: Math.random,
  version: manifest.version,
  keyboard: () => process.stdin,
  loadAgent: async () => {
    const { runAgent } = await import('./daemon/run.ts')
    const { openConsoles } = await import('./daemon/consoles.ts')
    const { watchMachine } = await import('./daemon/machine-facts.ts')
    const { createExtensions } = await import('../extensions/index.ts')
    return {
      watchMachine,
      openConsoles: (process, paths, recentLog) => openConsoles({ ...process, paths, recentLog }),
      run: (process, context, recentLog, consoles) =>
        runAgent({ process, ...context, recentLog, consoles, createExtensions }),
    }
  },
})
// keep-alive sockets and library threads must not keep a finished command from ending
await Promise.all([flushed(process.stdout), flushed(process.stderr)])
process.exit(lostOutput === undefined ? endCode() : endCode() || EXIT_CODES.failed.code)

function endCode(): number {
  return endedByPerson() ? code : (lifecycle.exitCode() ?? code)
}

/** A seed and a watch run until somebody ends them: that is no failure, once they have begun. */
function endedByPerson(): boolean {
  const isEndless = ['seed', 'watch'].includes(argv[0] ?? '')
  return isEndless && code === EXIT_CODES.ok.code && lifecycle.exitCode() !== EXIT_CODES.failed.code
}

/** A checkout whose packages are not installed says so in one line. */
function endWithoutPackages(error: NodeJS.ErrnoException): never {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error
  const [line] = error.message.split('\n')
  process.stderr.write(`ironswarm: ${line}; in a checkout run: make setup\n`)
  process.exit(1)
}

/** Waits until everything written so far has left for the pipe; at most a second for a reader that is gone. */
function flushed(stream: OutputStream & NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 1000).unref()
    stream.write('', () => resolve())
  })
}

/** Whoever reads the output later is not to take it for whole. */
function noteLostOutput(error: NodeJS.ErrnoException): void {
  const hasLeft = error.code === 'EPIPE'
  if (!hasLeft && lostOutput === undefined) {
    lostOutput = error
    process.stderr.write(`ironswarm: part of the output is lost: ${error.message}\n`)
  }
  // whose only work is to be read
  if (argv[0] === 'watch') process.exit(EXIT_CODES[hasLeft ? 'ok' : 'failed'].code)
}

/**
 * Starts this process anew, in place, unless it was born with what it must be born with: two malloc arenas
 * instead of eight per core, a small young generation, and a word on compiled code: kept beside the
 * packages, where only who may change the code may change what is run of it, since otherwise each thread
 * parses TypeScript again; and threads for calls that block, so that a disk that hangs leaves some to resolve
 * names with (docs/design/140-tables-and-commit.md). The ramdisk's wrapper gives all four, and no code is kept.
 * docs/design/015-memory.md has the figures.
 */
function bearWithMemorySettings(): void {
  const { env, execArgv } = process
  const isBornWithThem =
    env['MALLOC_ARENA_MAX'] !== undefined &&
    env['UV_THREADPOOL_SIZE'] !== undefined &&
    execArgv.some((word) => word.startsWith('--max-semi-space-size=')) &&
    (env['NODE_COMPILE_CACHE'] ?? env['NODE_DISABLE_COMPILE_CACHE']) !== undefined
  if (isBornWithThem || process.execve === undefined) return
  const cache = fileURLToPath(new URL('../node_modules/.cache/ironswarm', import.meta.url))
  process.execve(
    process.execPath,
    [process.execPath, '--max-semi-space-size=4', ...execArgv, ...process.argv.slice(1)],
    { NODE_COMPILE_CACHE: cache, MALLOC_ARENA_MAX: '2', UV_THREADPOOL_SIZE: '16', ...env },
  )
}
