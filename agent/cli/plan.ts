// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm plan`: what write would do, asked of servers and device, touching nothing.
import type { Command } from 'commander'
import { assertNotReadOnly } from '../disk/block-device.ts'
import { assertNotInUse } from '../disk/in-use.ts'
import { describePlan, planDocument } from '../image/plan/describe.ts'
import { openPlan } from '../image/plan/open-plan.ts'
import { type CommandLine, openContext } from './command-line.ts'
import { readImageRequest } from './image-request.ts'

/**
 * Prints the plan as lines, or as one JSON object with --json.
 * @throws whatever would make `write` refuse before it touches the disk
 */
export async function runPlan(line: CommandLine, command: Command): Promise<void> {
  const { loaded, root, log } = await openContext(line, command, { reader: 'person' })
  const { config } = loaded
  const request = await readImageRequest(command, config)
  const deps = { config, root, log, random: line.random }
  // `write` asks the same
  await assertNotInUse(root, request.devicePath)
  await assertNotReadOnly(root, request.devicePath)
  await using opened = await openPlan(request, line.signal, deps)
  const { plan } = opened
  const text = request.isJson ? JSON.stringify(planDocument(plan)) : describePlan(plan).join('\n')
  line.stdout.write(`${text}\n`)
}
