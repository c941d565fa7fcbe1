// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm plan`: what write would do, asked of servers and device, touching nothing.
import type { Command } from 'commander'
import { describePlan } from '../image/plan/plan.ts'
import { prepareImage } from '../image/plan/preparation.ts'
import { exec } from '../system/exec.ts'
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
  await using prepared = await prepareImage(
    { ...request, signal: line.signal },
    { config, exec, root, log, random: line.random, now: () => performance.now() },
  )
  const { plan } = prepared
  const text = request.isJson ? JSON.stringify(plan) : describePlan(plan).join('\n')
  line.stdout.write(`${text}\n`)
}
