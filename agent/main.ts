#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Owns the process: argv, environment, signals, exit code, and the introduction of the extensions to
// the agent. Does not parse and does not work; agent/cli does.
import { readFileSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { OutputStream } from './cli/command-line.ts'

// Kept beside the packages, so that only who may change the code may change what is run of it. Threads
// inherit the variable. Without a cache each of them parses TypeScript: some 20 MiB apiece.
// biome-ignore lint/style/noProcessEnv: how Node's worker threads learn of the cache
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(
  new URL('../node_modules/.cache/ironswarm', import.meta.url),
)
enableCompileCache()
const { createLifecycle } = await import('./cli/lifecycle.ts')
const { runCommandLine } = await import('./cli/program.ts')
const { createLogger } = await import('./telemetry/logger.ts')

const argv = process.argv.slice(2)
const isAgent = argv[0] === 'run'
const manifest: { version: string } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
)
const lifecycle = createLifecycle({
  process,
  // run logs to stdout for the journal; the others keep it for their result
  log: createLogger({ level: 'error', destination: isAgent ? 1 : 2 }),
  // being stopped is how an agent ends well
  terminatedCode: isAgent ? 0 : undefined,
  exit: (code) => process.exit(code),
})
const code = await runCommandLine(argv, {
  // biome-ignore lint/style/noProcessEnv: the one place; everything below is given it
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: lifecycle.signal,
  now: () => Date.now(),
  random: Math.random,
  version: manifest.version,
  loadExtensions: async () => ({
    createExtensions: (await import('../extensions/index.ts')).createExtensions,
    createSeedingKeeper: (await import('../extensions/seeding-keeper.ts')).createSeedingKeeper,
  }),
})
// keep-alive sockets and library threads must not keep a finished command from ending
await Promise.all([flushed(process.stdout), flushed(process.stderr)])
process.exit(lifecycle.exitCode() ?? code)

/** Waits until everything written so far has left for the pipe; at most a second for a reader that is gone. */
function flushed(stream: OutputStream & NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 1000).unref()
    stream.write('', () => resolve())
  })
}
