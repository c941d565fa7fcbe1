// SPDX-License-Identifier: Apache-2.0
// Owns the burn-in of processors and memory by stress-ng (contract 7.4).
import type { StepCall } from '../manager.ts'
import { byTheClock } from './by-the-clock.ts'
import { type BurninDeps, type BurninRun, burninError, lastLines, runBurnin } from './run.ts'
import { burninFields } from './settings.ts'

const DAY_S = 86_400
/** From the end of the time to the end of the program: workers give their memory back. */
const GRACE_MS = 600_000

/** Throws InvalidCommandParamsError, CommandExecutionError, CancelledError. */
export async function burnInCpu(deps: BurninDeps, { node, context }: StepCall): Promise<string> {
  const fields = burninFields(node)
  const workers = fields.count('agent_burnin_cpu_cpu', 0)
  const seconds = fields.count('agent_burnin_cpu_timeout', DAY_S, 1)
  const logFile = fields.path('agent_burnin_cpu_outputfile')
  const flags = ['--cpu', String(workers)]
  return await stress(deps, context, { what: 'cpu', seconds, flags, logFile })
}

/** The same; without settings as many workers as processors, on 98 % of the memory. */
export async function burnInMemory(deps: BurninDeps, { node, context }: StepCall): Promise<string> {
  const fields = burninFields(node)
  const workers = fields.count('agent_burnin_vm_vm', 0)
  const seconds = fields.count('agent_burnin_vm_timeout', DAY_S, 1)
  const logFile = fields.path('agent_burnin_vm_outputfile')
  const words = 'a size as stress-ng takes it: 98%, 4G'
  const bytes = fields.text('agent_burnin_vm_vm-bytes', '98%', /^\d+(\.\d+)?[%bkmgtpe]?$/i, words)
  const flags = ['--vm', String(workers), '--vm-bytes', bytes]
  return await stress(deps, context, { what: 'memory', seconds, flags, logFile })
}

interface Stress {
  readonly what: 'cpu' | 'memory'
  readonly seconds: number
  readonly flags: readonly string[]
  readonly logFile: string | undefined
}

async function stress(
  deps: BurninDeps,
  context: StepCall['context'],
  { what, seconds, flags, logFile }: Stress,
): Promise<string> {
  const run: BurninRun = {
    what,
    // without --verify a bit that flips is counted by nobody
    argv: [
      'stress-ng',
      ...flags,
      ...['--timeout', String(seconds), '--metrics-brief', '--verify'],
      ...(logFile === undefined ? [] : ['--log-file', logFile]),
    ],
    seconds,
    timeoutMs: seconds * 1000 + GRACE_MS,
  }
  const timed = { subject: what, seconds }
  const { exitCode, stdout, stderr } = await byTheClock(context.events, timed, () =>
    runBurnin(deps, context, run),
  )
  const said = `${stdout}\n${stderr}`
  deps.log.info({ what, output: lastLines(said, 20) }, 'stress-ng ended')
  if (exitCode !== 0) {
    throw burninError(what, `stress-ng: exit code ${exitCode}: ${failuresOf(said)}`)
  }
  return `${what}: ${seconds} s by stress-ng without a failure`
}

/** stress-ng marks what went wrong; without a mark its last words. */
function failuresOf(said: string): string {
  const marked = said.split('\n').filter((line) => /: (fail|error|unsuccessful)/.test(line))
  return lastLines(marked.length > 0 ? marked.join('\n') : said, 5)
}
