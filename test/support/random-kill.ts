// SPDX-License-Identifier: Apache-2.0
// Owns the death of a program at a moment that nobody chose: SIGKILL, as the kernel sends it when memory ends. Does not
// look at what it leaves.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** How often the tests of killed programs kill, by KILLS; without it, never: make kill-deploys. */
export const KILLS = Number(process.env['KILLS'] || 0)

/** Runs a test's own program, whose words on stdout say that it has begun. */
export function startProgram(path: string, ...args: string[]): ChildProcess {
  return spawn(process.execPath, [path, ...args], { stdio: ['ignore', 'pipe', 'ignore'] })
}

/** Resolves when it has said something that `words` matches; what it says afterwards is dropped. */
async function said(child: ChildProcess, words: RegExp): Promise<void> {
  for await (const line of createInterface(child.stdout as NonNullable<typeof child.stdout>)) {
    if (words.test(line)) break
  }
  child.stdout?.resume()
}

/**
 * Kills it at some moment of its work, which takes about `lastMs` from those of its words on that `words` matches; that
 * moment, ms.
 */
export async function killAtRandom(
  child: ChildProcess,
  lastMs: number,
  words = /./,
): Promise<number> {
  const exited = once(child, 'exit')
  await Promise.race([said(child, words), exited])
  const delayMs = Math.random() * lastMs
  const timer = setTimeout(() => child.kill('SIGKILL'), delayMs)
  await exited
  clearTimeout(timer)
  return delayMs
}

/** How long one takes that nobody kills, ms, from those words on. Throws if it fails. */
export async function durationOf(child: ChildProcess, words = /./): Promise<number> {
  const exited = once(child, 'exit')
  await Promise.race([said(child, words), exited])
  const began = performance.now()
  const [code] = await exited
  if (code !== 0) throw new Error(`the program that nobody kills ended with ${code}`)
  return performance.now() - began
}
