// SPDX-License-Identifier: Apache-2.0
// Owns the recordings of machines, test/fixtures/machines/NAME.json: what the real ironic-python-agent said of each, and what
// the programs printed that this agent asks. Their form, reading and writing them, and an Exec that answers out of one.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AgentError } from '../../../agent/core/errors.ts'
import type { Exec } from '../../../agent/system/exec.ts'
import type { PythonAgentAnswer } from './ask-python-agent.ts'
import type { RecordedMachine } from './tree.ts'

const FOLDER = join(import.meta.dirname, '../../fixtures/machines')

export interface Recording {
  readonly pythonAgent: PythonAgentAnswer
  /** What programs printed, by command line; others failed. lsblk by its name alone, with all its columns. */
  readonly printed: Readonly<Record<string, string>>
}

export function recordingPath({ name }: Pick<RecordedMachine, 'name'>): string {
  return join(FOLDER, `${name}.json`)
}

export async function readRecording(machine: RecordedMachine): Promise<Recording> {
  return JSON.parse(await readFile(recordingPath(machine), 'utf8')) as Recording
}

export async function writeRecording(machine: RecordedMachine, of: Recording): Promise<void> {
  await writeFile(recordingPath(machine), `${JSON.stringify(of, null, 1)}\n`)
}

/** Runs programs by `run` and keeps what they print. */
export function recordingExec(run: Exec): {
  readonly exec: Exec
  readonly printed: Record<string, string>
} {
  const printed: Record<string, string> = {}
  const exec: Exec = async (argv, options) => {
    const result = await run(argv, options)
    const line = lineOf(argv)
    const all = ['lsblk', '--bytes', '--ascii', '--all', '--json', '--output-all'] as const
    printed[line] = line === 'lsblk' ? (await run(all)).stdout : result.stdout
    return result
  }
  return { exec, printed }
}

/** Programs that print again what they printed when they were recorded. */
export function replayingExec({ printed }: Recording): Exec {
  return async (argv) => {
    const stdout = printed[lineOf(argv)]
    if (stdout === undefined) throw new AgentError('ProcessError', `${argv[0]}: not recorded`)
    return { stdout, stderr: '', exitCode: 0 }
  }
}

/** Columns of lsblk are chosen when its answer is read. */
function lineOf(argv: readonly string[]): string {
  return argv[0] === 'lsblk' ? 'lsblk' : argv.join(' ')
}
