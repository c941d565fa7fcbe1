// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm` as a process of its own, as a person or a script starts it.
import { type ChildProcess, spawn } from 'node:child_process'
import { AGENT_COMMAND } from '../../support/under-test.ts'

export interface Finished {
  readonly code: number | string
  readonly stdout: string
  readonly stderr: string
  /** The last line of stdout, parsed. */
  readonly report: Record<string, unknown>
}

export interface Started {
  readonly child: ChildProcess
  readonly finished: Promise<Finished>
  /** Resolves when stdout and stderr together match; rejects when the process ends before. */
  says(pattern: RegExp): Promise<string>
}

/** Starts a command; `env` is added to the environment of the test. */
export function start(argv: readonly string[], env: Record<string, string> = {}): Started {
  const [command, ...words] = AGENT_COMMAND
  const child = spawn(command, [...words, ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  const output = { stdout: '', stderr: '' }
  const watchers = new Set<() => void>()
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
      for (const watcher of watchers) watcher()
    })
  }
  const finished = new Promise<Finished>((resolve) =>
    child.once('close', (code, signal) =>
      resolve({ code: code ?? signal ?? 'unknown', ...output, report: lastObject(output.stdout) }),
    ),
  )
  const says = async (pattern: RegExp) => {
    const found = Promise.withResolvers<string>()
    const look = () => {
      const match = pattern.exec(output.stdout + output.stderr)
      if (match) found.resolve(match[0])
    }
    watchers.add(look)
    look()
    const gone = finished.then(({ code, stdout, stderr }): never => {
      throw new Error(`ended with ${code} before it said ${pattern}:\n${stdout}${stderr}`)
    })
    return await Promise.race([found.promise, gone]).finally(() => watchers.delete(look))
  }
  return { child, finished, says }
}

/** Runs a command to its end. */
export function run(...argv: string[]): Promise<Finished> {
  return start(argv).finished
}

function lastObject(stdout: string): Record<string, unknown> {
  const line = stdout.trim().split('\n').at(-1) ?? ''
  return line.startsWith('{') ? JSON.parse(line) : {}
}
