// SPDX-License-Identifier: Apache-2.0
// Owns making the arrays of a configuration (contract 7.5), and taking everything back where that fails. Does not
// read the configuration (target-config.ts) nor choose places (plan.ts).

import { isVirtualMedium } from '../../config/virtual-media.ts'
import { AgentError, messageOf } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import { type EraseOptions, eraseDiskMetadata } from '../../disk/erase.ts'
import { pauseAssembly } from '../../disk/md/assembly-pause.ts'
import {
  addMember,
  createArray,
  freeArrayPath,
  isFreeNumber,
  stopArray,
} from '../../disk/md/mdadm.ts'
import type { Exec } from '../../system/exec.ts'
import { type LsblkDevice, listBlockDevices } from '../../system/lsblk.ts'
import type { Root } from '../../system/root.ts'
import { blockDeviceDirectory, blockDevicePath } from '../../system/sysfs.ts'
import { settle } from '../../system/udev.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { Disk } from '../inventory.ts'
import { keptVolumeNames, listArrays } from './arrays.ts'
import { memberTableOf } from './boot-space.ts'
import { missingOf } from './existing.ts'
import { assertEmpty, makeMemberPartitions } from './member-partitions.ts'
import { type MemberDisk, type PlannedArray, planRaid, type RaidPlan } from './plan.ts'
import { type LogicalDisk, mdLevelOf, parseTargetConfig } from './target-config.ts'

export interface RaidDeps {
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
  /** Where the ramdisk's udev rule looks (assembly-pause.ts). */
  readonly pausePath: string
  /** All disks; those that must be left alone say why, also those of `skip_block_devices`. */
  readonly listDisks: (node: JsonObject | undefined) => Promise<readonly Disk[]>
  /** Option block_devices: where it names some, no other disk is touched. */
  readonly listed: readonly string[]
  /** The same, but the superblock of an array that is not started is no reason. */
  readonly listOldMembers: (node: JsonObject | undefined) => Promise<readonly Disk[]>
}

/** Taking back has its own time, ms: the step may have been told to end. */
const TAKE_BACK_TIMEOUT_MS = 300_000

/**
 * Makes the arrays that are not there yet and returns all that the configuration asks for. Nothing is written before
 * all of it is known to fit; a failure half-way leaves no array, no superblock and no table.
 * @throws SoftwareRAIDError, TargetInUseError, ProcessError, what erasing metadata throws
 */
export async function createArrays(
  deps: RaidDeps,
  node: JsonObject | undefined,
  config: JsonObject,
  signal: AbortSignal,
): Promise<readonly LogicalDisk[]> {
  const keptNames = keptVolumeNames(node)
  const wanted = parseTargetConfig(config, keptNames)
  const rows = await listBlockDevices(deps.exec)
  const there = await listArrays(deps.root, rows)
  const disks = withoutMedia(await deps.listDisks(node), rows)
  const missing = missingOf(wanted, { arrays: there, disks, keptNames })
  if (missing.length === 0) return wanted
  const plan = planRaid(disks, missing, await memberTableOf(node, deps.root))
  for (const { disk } of plan.disks) await assertEmpty(deps.root, disk.name)
  await makeOrTakeBack(deps, plan, signal)
  return wanted
}

/** Disks that an array may take: no arrays, and not what the machine was booted from. */
function withoutMedia(disks: readonly Disk[], rows: readonly LsblkDevice[]): Disk[] {
  return disks.filter(({ name }) => {
    const row = rows.find(({ kname }) => blockDevicePath(kname) === name)
    return !/^\/dev\/(md|sr)/.test(name) && !(row !== undefined && isVirtualMedium([row]))
  })
}

async function makeOrTakeBack(deps: RaidDeps, plan: RaidPlan, signal: AbortSignal): Promise<void> {
  await using _pause = await pauseAssembly(deps)
  const made = { disks: [] as string[], arrays: [] as string[] }
  const options: EraseOptions = { ...deps, signal }
  try {
    const nodes = await makePartitions(plan.disks, options, made.disks)
    for (const array of plan.arrays) {
      const path = await freeArrayPath(deps.root)
      made.arrays.push(path)
      await makeArray(options, array, path, nodes)
      deps.log.info({ array: path, name: array.logicalDisk.volumeName }, 'RAID array made')
    }
  } catch (error) {
    const left = await takeBack(deps, made)
    const ending = left.length > 0 ? `; not taken back: ${left.join('; ')}` : '; it was taken back'
    throw new AgentError('SoftwareRAIDError', `${messageOf(error)}${ending}`, { cause: error })
  }
}

/** Nodes of the partitions by disk; each disk is noted before it is touched. */
async function makePartitions(
  disks: readonly MemberDisk[],
  options: EraseOptions,
  touched: string[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const nodes = new Map<string, readonly string[]>()
  for (const member of disks) {
    touched.push(member.disk.name)
    nodes.set(member.disk.name, await makeMemberPartitions(member, options))
  }
  return nodes
}

async function makeArray(
  options: EraseOptions,
  { logicalDisk, members }: PlannedArray,
  path: string,
  nodes: ReadonlyMap<string, readonly string[]>,
): Promise<void> {
  const parts = members.map(({ disk, partition }) => nodes.get(disk)?.[partition - 1] as string)
  const { volumeName, level } = logicalDisk
  await createArray(options, { path, name: volumeName, level: mdLevelOf(level), members: parts })
  await settle(options.exec)
  const kname = path.slice('/dev/'.length)
  const membersOf = () => options.root.list(`${blockDeviceDirectory(kname)}/slaves`)
  const there = new Set((await membersOf()).map(blockDevicePath))
  for (const part of parts) if (!there.has(part)) await addMember(options, path, part)
  const count = (await membersOf()).length
  if (count >= parts.length) return
  throw new AgentError(
    'SoftwareRAIDError',
    `${path} (${volumeName}) has ${count} members instead of ${parts.length}: ${parts.join(', ')}`,
  )
}

/** What could not be taken back, one phrase each. Arrays that udev made of our members go too. */
async function takeBack(
  deps: RaidDeps,
  made: { readonly disks: readonly string[]; readonly arrays: readonly string[] },
): Promise<string[]> {
  const options = { ...deps, signal: AbortSignal.timeout(TAKE_BACK_TIMEOUT_MS) }
  const left: string[] = []
  const attempt = (path: string, work: Promise<void>) =>
    work.catch((error) => left.push(`${path}: ${messageOf(error)}`))
  for (const path of await arraysToStop(deps, made)) await attempt(path, stopArray(options, path))
  for (const path of made.disks) await attempt(path, eraseDiskMetadata(path, options))
  for (const what of left) deps.log.error({ what }, 'RAID not taken back')
  return left
}

async function arraysToStop(
  { exec, root }: RaidDeps,
  made: { readonly disks: readonly string[]; readonly arrays: readonly string[] },
): Promise<string[]> {
  const rows = await listBlockDevices(exec).catch(() => [])
  const ofOurDisks = (await listArrays(root, rows))
    .filter(({ disks }) => disks.some((disk) => made.disks.includes(blockDevicePath(disk))))
    .map(({ path }) => path)
  const own: string[] = []
  // one that lost all members is on no disk, and still takes its number
  for (const path of made.arrays) if (!(await isFreeNumber(root, path))) own.push(path)
  return [...new Set([...own, ...ofOurDisks])]
}
