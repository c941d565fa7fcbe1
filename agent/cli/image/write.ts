// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm write`: the agent's own pipeline, image to verified disk, without Ironic around it; with --boot on to
// the start of the instance.
import type { Command } from 'commander'
import type { Config } from '../../config/options.ts'
import { oneLine } from '../../core/cut-text.ts'
import { AgentError } from '../../core/errors.ts'
import { redactUrl } from '../../core/redact.ts'
import { formatBytes, formatDuration } from '../../core/units.ts'
import {
  cancelIfAborted,
  type InstanceStart,
  prepareInstanceStart,
} from '../../deploy/instance-start.ts'
import { createPowerControl } from '../../deploy/power-control.ts'
import { writeImage } from '../../deploy/write-image.ts'
import { readGeometry } from '../../disk/geometry.ts'
import type { DeployedImage } from '../../image/deploy-image.ts'
import type { Plan } from '../../image/plan/plan.ts'
import type { DiskListener } from '../../image/target/target-disk.ts'
import { pathOf } from '../../sources/file.ts'
import { createArenaBudget } from '../../sources/swarm/thread/arena-budget.ts'
import { exec } from '../../system/exec.ts'
import { blockDeviceAt, type SysfsBlockDevice } from '../../system/sysfs.ts'
import { type CommandLine, type Context, openContext } from '../command-line.ts'
import { CommandFailure } from '../failure.ts'
import { logFor, openScreen } from '../terminal/screen.ts'
import { type ImageRequest, readImageRequest, wordsOf } from './image-request.ts'

/**
 * Writes, reads back, verifies. With --json the last line of stdout is one object, also after a failure.
 * @throws CommandFailure with what the pipeline throws and what state the disk is in
 */
export async function runWrite(line: CommandLine, command: Command): Promise<void> {
  const isJson = command.getOptionValue('json') === true
  using screen = openScreen(line, { isJson })
  const context = await openContext(line, command, logFor(screen, isJson))
  const disk: DiskState = { path: undefined, heard: 'untouched' }
  let named: string | undefined
  let start: InstanceStart | undefined
  try {
    const isBooted = command.getOptionValue('boot') === true
    named = (await wordsOf(command)).devicePath
    if (isBooted) await assertBootable(named, context)
    const request = await readImageRequest(line, command, context)
    screen.say(await wayOf(request, context))
    disk.path = request.devicePath
    const deployed = await deploy(line, context, request, disk)
    disk.heard = 'verified'
    // a node goes on seeding until it is switched off; a command that is done is done
    await deployed.seeding?.[Symbol.asyncDispose]()
    start = isBooted ? await prepareStart(line, context, request) : undefined
    // a person who breaks off wants this system to go on; prepareStart would have it rebooted
    if (start) await cancelIfAborted(start, line.signal)
    screen[Symbol.dispose]()
    line.stdout.write(
      isJson ? `${JSON.stringify(report(deployed, start))}\n` : summary(deployed, start),
    )
  } catch (error) {
    await start?.cancel()
    // a file is read for its digest before anything is known of the disk, and that takes a while
    if (line.signal.aborted) disk.path ??= named
    throw failureOf(error, disk)
  }
  if (start === undefined) return
  try {
    await cancelIfAborted(start, line.signal)
    await start.go()
  } catch (error) {
    throw failureOf(error, disk)
  }
}

function failureOf(error: unknown, disk: DiskState): CommandFailure {
  const verified = disk.heard === 'verified'
  return new CommandFailure(error, { verified, disk: WORDS[disk.heard] }, afterwordOf(disk))
}

/** What is known of the disk when the command fails. */
interface DiskState {
  path: string | undefined
  heard: 'untouched' | 'verified' | Parameters<DiskListener>[0]
}

/** As `disk` of the JSON object has it. */
const WORDS = {
  untouched: 'untouched',
  touched: 'not bootable',
  'may boot': 'may boot',
  verified: 'verified',
} as const

/** What whoever pressed Ctrl-C wants to know. */
function afterwordOf(disk: DiskState): string | undefined {
  if (disk.path === undefined) return undefined
  switch (disk.heard) {
    case 'verified':
      return `${disk.path} holds the image`
    case 'untouched':
      return `${disk.path} is as it was`
    case 'may boot':
      return `${disk.path} could not be erased and may boot with what is not verified: erase it or take it out`
    case 'touched':
      return `${disk.path} cannot boot now; write it again`
  }
}

/** `debian.raw from http://h/debian.raw to /dev/sdb (QEMU HARDDISK, 20.0 GiB)`. Throws DeviceNotFound. */
async function wayOf({ imageInfo, devicePath }: ImageRequest, { root }: Context): Promise<string> {
  const { sizeBytes } = await readGeometry(root, devicePath)
  const device = await blockDeviceAt(root, devicePath)
  const model = device && (await root.readText(`${device.directory}/device/model`))?.trim()
  const target = [...(model ? [model] : []), formatBytes(sizeBytes)].join(', ')
  const { torrent, urls } = imageInfo
  const from = [...(torrent ? ['a swarm'] : []), ...urls.map(placeOf)].join(', ')
  return `${imageInfo.id} from ${from} to ${devicePath} (${target})`
}

/** A URL without secrets; a file by its path. */
function placeOf(url: string): string {
  return url.startsWith('file:') ? pathOf(url) : redactUrl(url)
}

function deploy(
  line: CommandLine,
  { loaded, root, log }: Context,
  { imageInfo, configdrive, devicePath }: ImageRequest,
  disk: DiskState,
): Promise<DeployedImage> {
  const config: Config = loaded.config
  const { signal, events } = line
  const onPlan = (plan: Plan) => {
    for (const warning of plan.warnings) log.warn({ warning }, 'plan')
  }
  const onDisk: DiskListener = (heard) => {
    disk.heard = heard
  }
  return writeImage(
    { imageInfo, configdrive, devicePath, signal, events, onPlan, onDisk },
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
async function assertBootable(devicePath: string, { root }: Context): Promise<void> {
  const device = await blockDeviceAt(root, devicePath)
  const reason = whyNotBootable(device)
  if (reason === undefined) return
  throw new AgentError(
    'InvalidCommandParamsError',
    `--boot ends this system and starts the instance from a disk of this machine; ${devicePath} is ${reason}. ` +
      'Leave --boot out, or give a whole disk as the device',
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
    ...{
      verified: true,
      hash,
      seconds: Math.round(seconds * 10) / 10,
      bytes,
      device,
      image_id: imageId,
      root_uuid: rootUuid,
    },
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
  ]
    .map(oneLine)
    .join('\n')
}
