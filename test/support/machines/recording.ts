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

/** Sorted, so that what is recorded again and is the same is the same file. */
export async function writeRecording(machine: RecordedMachine, of: Recording): Promise<void> {
  const printed = Object.entries(of.printed).sort(([a], [b]) => (a < b ? -1 : 1))
  const sorted = { ...of, printed: Object.fromEntries(printed) }
  await writeFile(recordingPath(machine), `${JSON.stringify(sorted, null, 1)}\n`)
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
    const text = line === 'lsblk' ? (await run(all)).stdout : result.stdout
    printed[line] = withoutComputer(text)
    return result
  }
  return { exec, printed }
}

/**
 * Without what is the recording computer's: where it has mounted a device of the same number. udev's links are a set, whose order
 * is nobody's.
 */
function withoutComputer(text: string): string {
  return text
    .replaceAll(
      /"(mountpoints?|fsroots|fsavail|fssize|fsused|fsuse%)": (\[[^\]]*\]|"[^"]*"|[^,\n]*)/g,
      '"$1": null',
    )
    .replace(
      /^DEVLINKS=(.*)$/m,
      (_line, links: string) => `DEVLINKS=${links.split(' ').sort().join(' ')}`,
    )
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
