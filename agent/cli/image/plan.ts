// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm plan`: what write would do, asked of servers and device, touching nothing.
import type { Command } from 'commander'
import { oneLine } from '../../core/cut-text.ts'
import { requirePrograms } from '../../disk/partitioning/file-systems.ts'
import { describePlan, planDocument } from '../../image/plan/describe.ts'
import { openPlan } from '../../image/plan/open-plan.ts'
import { exec } from '../../system/exec.ts'
import { type CommandLine, openContext } from '../command-line.ts'
import { logFor, openScreen } from '../terminal/screen.ts'
import { assertWritable, readImageRequest } from './image-request.ts'

/**
 * Prints the plan as lines, or as one JSON object with --json.
 * @throws whatever would make `write` refuse before it touches the disk
 */
export async function runPlan(line: CommandLine, command: Command): Promise<void> {
  const isJson = command.getOptionValue('json') === true
  using screen = openScreen(line, { isJson })
  const context = await openContext(line, command, logFor(screen, isJson))
  const { loaded, root, log } = context
  const { config } = loaded
  const request = await readImageRequest(line, command, context)
  // `write` asks the same
  await assertWritable(root, request.devicePath)
  const deps = { config, root, log, random: line.random }
  await using opened = await openPlan(request, line.signal, deps)
  const { plan } = opened
  if (plan.target.layout) await requirePrograms(plan.target.layout, { exec, signal: line.signal })
  screen[Symbol.dispose]()
  const text = isJson
    ? JSON.stringify(planDocument(plan))
    : describePlan(plan).map(oneLine).join('\n')
  line.stdout.write(`${text}\n`)
}
