// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm write`: the agent's own pipeline, image to verified disk, without Ironic around it.
import type { Command } from 'commander'
import type { Config } from '../config/options.ts'
import { toAgentError } from '../core/errors.ts'
import { formatBytes, formatDuration } from '../core/units.ts'
import { writeImage } from '../deploy/write-image.ts'
import type { DeployedImage } from '../image/deploy-image.ts'
import { createArenaBudget } from '../sources/swarm/thread/arena-budget.ts'
import { exec } from '../system/exec.ts'
import { type CommandLine, type Context, openContext } from './command-line.ts'
import { type ImageRequest, readImageRequest } from './image-request.ts'
import { openProgress } from './progress-view.ts'

/**
 * Writes, reads back, verifies. With --json the last line of stdout is one object, also after a failure.
 * @throws what the pipeline throws; the disk then cannot boot
 */
export async function runWrite(line: CommandLine, command: Command): Promise<void> {
  const isJson = command.getOptionValue('json') === true
  const context = await openContext(line, command, { reader: isJson ? 'program' : 'person' })
  using progress = openProgress(line, isJson)
  try {
    const request = await readImageRequest(command, context.loaded.config)
    const deployed = await deploy(line, context, request)
    // a node goes on seeding until it is switched off; a command that is done is done
    await deployed.seeding?.[Symbol.asyncDispose]()
    progress[Symbol.dispose]()
    line.stdout.write(isJson ? `${JSON.stringify(report(deployed))}\n` : summary(deployed))
  } catch (error) {
    progress[Symbol.dispose]()
    if (isJson) {
      const failure = { verified: false, error: toAgentError(error).toWire() }
      line.stdout.write(`${JSON.stringify(failure)}\n`)
    }
    throw error
  }
}

function deploy(
  line: CommandLine,
  { loaded, root, log }: Context,
  { imageInfo, configdrive, devicePath }: ImageRequest,
): Promise<DeployedImage> {
  const config: Config = loaded.config
  return writeImage(
    { imageInfo, configdrive, devicePath, signal: line.signal, events: line.events },
    {
      config,
      exec,
      root,
      log,
      random: line.random,
      swarmMemory: createArenaBudget(config.swarm_memory),
      now: () => performance.now(),
    },
  )
}

function report({ hash, seconds, bytes, device, imageId, rootUuid }: DeployedImage) {
  return { verified: true, hash, seconds, bytes, device, image_id: imageId, root_uuid: rootUuid }
}

function summary({ hash, seconds, bytes, device, imageId }: DeployedImage): string {
  const sources = Object.entries(bytes)
    .filter(([, count]) => count > 0)
    .map(([source, count]) => `${formatBytes(count)} from ${source}`)
  return [
    `${imageId} is on ${device}: read back, ${hash.algo} ${hash.value}`,
    `${sources.join(', ')} in ${formatDuration(seconds)}`,
    '',
  ].join('\n')
}
