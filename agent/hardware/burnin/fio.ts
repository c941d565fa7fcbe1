// SPDX-License-Identifier: Apache-2.0
// Owns fio: how it is called so that its answer can be read, and what its jobs say (HOWTO, "JSON output").
import { writeFile } from 'node:fs/promises'
import { isObject, type JsonObject } from '../../core/json.ts'
import type { StepContext } from '../manager.ts'
import { type BurninDeps, type BurninEnd, type BurninRun, burninError, runBurnin } from './run.ts'

/** What one job did, bytes. */
export interface FioJob {
  readonly name: string
  readonly readBytes: number
  readonly writtenBytes: number
  /** errno of what ended it; 0 if nothing did. */
  readonly error: number
  /** Errors after which it went on. */
  readonly errors: number
}

export interface FioEnd extends BurninEnd {
  readonly jobs: readonly FioJob[]
}

/**
 * Runs fio with these words besides. Throws as runBurnin, and CommandExecutionError where the file for its answer cannot be
 * written.
 * @param outputFile gets its answer as JSON
 */
export async function runFio(
  deps: BurninDeps,
  context: Pick<StepContext, 'signal' | 'events'>,
  run: Omit<BurninRun, 'argv'> & {
    readonly words: readonly string[]
    readonly outputFile: string | undefined
  },
): Promise<FioEnd> {
  const { words, outputFile, ...rest } = run
  const argv = ['fio', '--output-format=json', ...words] as const
  const end = await runBurnin(deps, context, { ...rest, argv })
  const { text, jobs } = parseFio(end.stdout)
  deps.log.info({ what: run.what, exit_code: end.exitCode, jobs }, 'fio ended')
  if (outputFile !== undefined) {
    await writeFile(outputFile, text).catch((error: unknown) => {
      throw burninError(run.what, `its answer cannot be written to ${outputFile}: ${error}`, error)
    })
  }
  return { ...end, jobs }
}

/** fio writes notes before its JSON; without any there are no jobs. */
export function parseFio(stdout: string): { text: string; jobs: FioJob[] } {
  const text = stdout.slice(Math.max(0, stdout.search(/^\{/m)))
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch {
    return { text: stdout, jobs: [] }
  }
  const jobs = isObject(answer) && Array.isArray(answer['jobs']) ? answer['jobs'] : []
  return { text, jobs: jobs.filter(isObject).map(toJob) }
}

function toJob(job: JsonObject): FioJob {
  const bytes = (direction: string) => {
    const part = job[direction]
    return isObject(part) ? Number(part['io_bytes'] ?? 0) : 0
  }
  return {
    name: String(job['jobname'] ?? '?'),
    readBytes: bytes('read'),
    writtenBytes: bytes('write'),
    error: Number(job['error'] ?? 0),
    errors: Number(job['total_err'] ?? 0),
  }
}
