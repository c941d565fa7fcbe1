// SPDX-License-Identifier: Apache-2.0
// Owns the burn-in of GPUs by gpu-burn (contract 7.4), which the operator brings with the ramdisk.
import { join } from 'node:path'
import { AgentError } from '../../core/errors.ts'
import type { StepCall } from '../manager.ts'
import { byTheClock } from './by-the-clock.ts'
import { type BurninDeps, burninError, lastLines, runBurnin } from './run.ts'
import { burninFields } from './settings.ts'

const FOLDER = '/opt/gpu-burn'
const DAY_S = 86_400
const LIST_TIMEOUT_MS = 120_000
const GRACE_MS = 600_000

/** Throws InvalidCommandParamsError, CleaningError for another number of GPUs, CommandExecutionError, CancelledError. */
export async function burnInGpus(deps: BurninDeps, { node, context }: StepCall): Promise<string> {
  const fields = burninFields(node)
  const cwd = fields.path('agent_burnin_gpu_install_dir') ?? FOLDER
  const seconds = fields.count('agent_burnin_gpu_timeout', DAY_S, 1)
  const memory = fields.text('agent_burnin_gpu_memory', '95%', /^\d+%?$/, 'MB, or a share: 95%')
  const wanted = fields.count('agent_burnin_gpu_count', 0)
  const program = join(cwd, 'gpu_burn')
  if (wanted > 0) {
    const argv = [program, '-l'] as const
    const list = { what: 'gpu list', argv, seconds: 0, timeoutMs: LIST_TIMEOUT_MS, cwd }
    const { exitCode, stdout, stderr } = await runBurnin(deps, context, list)
    if (exitCode !== 0)
      throw burninError('gpu', `gpu_burn -l: exit code ${exitCode}: ${lastLines(stderr, 3)}`)
    const count = stdout.split('\n').filter((line) => line.startsWith('ID')).length
    if (count !== wanted) {
      throw new AgentError(
        'CleaningError',
        `burn-in of gpu: there are ${count} GPUs, not ${wanted}`,
      )
    }
  }
  const argv = [program, '-m', memory, String(seconds)] as const
  const timeoutMs = seconds * 1000 + GRACE_MS
  const end = await byTheClock(context.events, { subject: 'gpu', seconds }, () =>
    runBurnin(deps, context, { what: 'gpu', argv, seconds, timeoutMs, cwd }),
  )
  const verdicts = verdictsOf(end.stdout)
  const faulty = verdicts.filter((verdict) => /FAULTY/.test(verdict))
  // older ones end with 0 whatever they found
  if (end.exitCode !== 0 || faulty.length > 0) {
    const said = faulty.join(', ') || lastLines(`${end.stdout}\n${end.stderr}`, 3)
    throw burninError('gpu', `gpu_burn: exit code ${end.exitCode}: ${said}`)
  }
  return `gpu: ${seconds} s by gpu-burn${verdicts.length > 0 ? `: ${verdicts.join(', ')}` : ''}`
}

/** Its last lines: `GPU 0: OK`. */
function verdictsOf(stdout: string): string[] {
  return [...stdout.matchAll(/GPU \d+: (?:OK|FAULTY)/g)].map(([verdict]) => verdict)
}
