// SPDX-License-Identifier: Apache-2.0
// Owns how a program behind a make target ends: what went wrong is one line, and the exit code says it.

/** Runs the work; a thrown Error becomes `<name>: <message>` on stderr and exit code 1. */
export async function runProgram(name: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    console.error(`${name}: ${message.replaceAll(/\s*\n\s*/g, ' ')}`)
    process.exitCode = 1
  }
}
