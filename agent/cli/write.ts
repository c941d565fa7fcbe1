// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm write`: the agent's own pipeline, image to verified disk, without Ironic around it; with --boot on to
// the start of the instance.
import type { Command } from 'commander'
import type { Config } from '../config/options.ts'
import { AgentError, toAgentError } from '../core/errors.ts'
import { formatBytes, formatDuration } from '../core/units.ts'
import {
  cancelIfAborted,
  type InstanceStart,
  prepareInstanceStart,
} from '../deploy/instance-start.ts'
import { createPowerControl } from '../deploy/power-control.ts'
import { writeImage } from '../deploy/write-image.ts'
import type { DeployedImage } from '../image/deploy-image.ts'
import { createArenaBudget } from '../sources/swarm/thread/arena-budget.ts'
import { exec } from '../system/exec.ts'
import { blockDeviceAt, type SysfsBlockDevice } from '../system/sysfs.ts'
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
  let start: InstanceStart | undefined
  try {
    const request = await readImageRequest(command, context.loaded.config)
    const isBooted = command.getOptionValue('boot') === true
    if (isBooted) await assertBootable(request, context)
    const deployed = await deploy(line, context, request)
    // a node goes on seeding until it is switched off; a command that is done is done
    await deployed.seeding?.[Symbol.asyncDispose]()
    start = isBooted ? await prepareStart(line, context, request) : undefined
    // a person who breaks off wants this system to go on; prepareStart would have it rebooted
    if (start) await cancelIfAborted(start, line.signal)
    progress[Symbol.dispose]()
    line.stdout.write(
      isJson ? `${JSON.stringify(report(deployed, start))}\n` : summary(deployed, start),
    )
  } catch (error) {
    await start?.cancel()
    progress[Symbol.dispose]()
    if (isJson) {
      const failure = { verified: false, error: toAgentError(error).toWire() }
      line.stdout.write(`${JSON.stringify(failure)}\n`)
    }
    throw error
  }
  if (start === undefined) return
  await cancelIfAborted(start, line.signal)
  await start.go()
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

/** What no firmware and no kernel of an instance could start from. Throws InvalidCommandParamsError. */
async function assertBootable({ devicePath }: ImageRequest, { root }: Context): Promise<void> {
  const device = await blockDeviceAt(root, devicePath)
  const reason = whyNotBootable(device)
  if (reason === undefined) return
  throw new AgentError(
    'InvalidCommandParamsError',
    `--boot ends this system and starts the instance from a disk of this machine; ${devicePath} is ${reason}. ` +
      'Leave --boot out, or give a whole disk as --device',
  )
}

function whyNotBootable(device: SysfsBlockDevice | undefined): string | undefined {
  if (device === undefined) return 'no block device'
  if (device.isPartition) return 'a partition'
  return /^(?:loop|nbd|ram|zram)\d/.test(device.name) ? 'no disk of its own' : undefined
}

async function prepareStart(
  line: CommandLine,
  { loaded, root, log }: Context,
  { devicePath }: ImageRequest,
): Promise<InstanceStart> {
  const { config } = loaded
  const machineControl = config.machine_control
  // a command ends by itself
  const onMachineEnd = () => undefined
  const power = createPowerControl({ exec, root, log, machineControl, clock: config, onMachineEnd })
  return await prepareInstanceStart(
    devicePath,
    { exec, root, log, machineControl, power },
    line.signal,
  )
}

function report(
  { hash, seconds, bytes, device, imageId, rootUuid }: DeployedImage,
  start: InstanceStart | undefined,
) {
  return {
    ...{ verified: true, hash, seconds, bytes, device, image_id: imageId, root_uuid: rootUuid },
    ...(start ? { start: start.sentence } : {}),
  }
}

function summary(
  { hash, seconds, bytes, device, imageId }: DeployedImage,
  start: InstanceStart | undefined,
): string {
  const sources = Object.entries(bytes)
    .filter(([, count]) => count > 0)
    .map(([source, count]) => `${formatBytes(count)} from ${source}`)
  return [
    `${imageId} is on ${device}: read back, ${hash.algo} ${hash.value}`,
    `${sources.join(', ')} in ${formatDuration(seconds)}`,
    ...(start ? [start.sentence] : []),
    '',
  ].join('\n')
}
