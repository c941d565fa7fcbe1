// SPDX-License-Identifier: Apache-2.0
// Owns deleting RAID (contract 7.5): arrays of md, started or not, spares, old members, and the tables of their
// disks. Does not touch what skip_block_devices keeps, nor RAID of a firmware.
import { AgentError, messageOf } from '../../core/errors.ts'
import type { EventPublisher } from '../../core/events.ts'
import type { JsonObject } from '../../core/json.ts'
import { eraseDiskMetadata } from '../../disk/erase.ts'
import { pauseAssembly } from '../../disk/md/assembly-pause.ts'
import { assembleArrays, stopArray } from '../../disk/md/mdadm.ts'
import { findRaidSignature } from '../../disk/raid-signature.ts'
import { type LsblkDevice, listBlockDevices } from '../../system/lsblk.ts'
import { blockDevicePath } from '../../system/sysfs.ts'
import { warn } from '../../telemetry/operation.ts'
import type { Disk } from '../inventory.ts'
import {
  disksOf,
  type Fate,
  fatesOf,
  keptVolumeNames,
  listArrays,
  MD_SIGNATURE,
  type MdArray,
} from './arrays.ts'
import type { RaidDeps } from './create.ts'

export interface DeleteContext {
  readonly signal: AbortSignal
  readonly events: EventPublisher
}

interface Survey {
  readonly rows: readonly LsblkDevice[]
  readonly arrays: readonly MdArray[]
  readonly fates: ReadonlyMap<string, Fate>
}

/** An array that appears while another goes, as one of arrays does, is found the second time. */
const PASSES = 2

/**
 * Arrays are erased by their metadata and stopped, then so are the disks of their members, which loses their
 * partitions too. Started first, where that is possible: what lies inside of one that is not cannot be reached.
 * @throws SoftwareRAIDError for what is left; TargetInUseError; what erasing metadata throws
 */
export async function deleteArrays(
  deps: RaidDeps,
  node: JsonObject | undefined,
  context: DeleteContext,
): Promise<void> {
  await using _pause = await pauseAssembly(deps)
  const options = { ...deps, signal: context.signal }
  const disks = new Set<string>()
  for (let pass = 1; pass <= PASSES; pass++) {
    await assembleArrays(options)
    const before = await survey(deps, node)
    for (const name of oldMemberDisks(before)) disks.add(name)
    await endArrays(deps, before, context)
    for (const { kname, disks: own } of before.arrays) {
      if (before.fates.get(kname) === 'delete') for (const name of own) disks.add(name)
    }
    await eraseMembers(deps, node, disks, context)
    if (!hasDeletable(await survey(deps, node))) return
  }
  const left = (await survey(deps, node)).arrays.map(({ path }) => path)
  throw new AgentError(
    'SoftwareRAIDError',
    `there are arrays after ${PASSES} tries to delete them: ${left.join(', ')}; see dmesg for what holds them`,
  )
}

async function survey(deps: RaidDeps, node: JsonObject | undefined): Promise<Survey> {
  const rows = await listBlockDevices(deps.exec)
  const arrays = await listArrays(deps.root, rows)
  const disks = await deps.listOldMembers(node)
  const kept = disks.filter(({ leftAlone }) => leftAlone?.isWanted)
  const byPath = new Set(kept.map(({ name }) => name))
  const known = new Set(disks.map(({ name }) => name))
  const isExcluded = (row: LsblkDevice) =>
    deps.listed.length > 0 && isDisk(row) && !known.has(blockDevicePath(row.kname))
  const keptDisks = rows
    .filter((row) => byPath.has(blockDevicePath(row.kname)) || isExcluded(row))
    .map(({ kname }) => kname)
  return { rows, arrays, fates: fatesOf(arrays, keptVolumeNames(node), new Set(keptDisks)) }
}

/** What `block_devices` may leave out: an array is on disks, and goes by these. */
function isDisk({ type, parentKnames }: LsblkDevice): boolean {
  return parentKnames.length === 0 || type === 'mpath'
}

function hasDeletable({ arrays, fates }: Survey): boolean {
  return arrays.some(({ kname }) => fates.get(kname) === 'delete')
}

/** Disks with a superblock of md's that belongs to no array there is. */
function oldMemberDisks({ rows, arrays }: Survey): string[] {
  const members = new Set(arrays.flatMap((array) => array.members))
  return rows
    .filter(({ kname, fsType }) => fsType === MD_SIGNATURE && !members.has(kname))
    .flatMap(({ kname }) => disksOf(rows, kname))
}

/** Those that others are made of come last: the kernel stops none that is held. */
async function endArrays(deps: RaidDeps, { arrays, fates }: Survey, context: DeleteContext) {
  const isHeld = (array: MdArray, others: readonly MdArray[]) =>
    others.some((other) => other !== array && other.disks.includes(array.kname))
  let waiting = arrays.filter(({ kname }) => fates.get(kname) !== 'keep')
  while (waiting.length > 0) {
    const free = waiting.filter((array) => !isHeld(array, waiting))
    // a circle cannot be; should sysfs show one, stopping says what holds them
    for (const array of free.length > 0 ? free : waiting)
      await endArray(deps, array, fates, context)
    waiting = free.length > 0 ? waiting.filter((array) => !free.includes(array)) : []
  }
}

async function endArray(
  deps: RaidDeps,
  { kname, path, name, isActive }: MdArray,
  fates: ReadonlyMap<string, Fate>,
  { signal, events }: DeleteContext,
): Promise<void> {
  const options = { ...deps, signal }
  const isWiped = fates.get(kname) === 'wipe'
  // where too few members are there, nothing can be read either
  if (isActive) await eraseDiskMetadata(path, options)
  if (!isWiped) {
    await stopArray(options, path)
    deps.log.info({ array: path, name }, 'RAID array deleted')
    return
  }
  const details =
    `${path} (${name}) shares disks with an array that skip_block_devices names: its members stay, ` +
    (isActive ? 'its content is erased' : 'and its content too, since it is not started')
  warn(
    events,
    'RAID array not deleted',
    { device: path },
    new AgentError('ProtectedDeviceError', details),
  )
}

/**
 * Disks that something else holds, and those of `skip_block_devices`, stay as they are. Superblocks are looked for on
 * the disks themselves too: udev may not have seen them all.
 */
async function eraseMembers(
  deps: RaidDeps,
  node: JsonObject | undefined,
  names: ReadonlySet<string>,
  { signal, events }: DeleteContext,
): Promise<void> {
  const options = { ...deps, signal }
  const paths = new Set([...names].map(blockDevicePath))
  for (const disk of await deps.listOldMembers(node)) {
    const isMember = paths.has(disk.name)
    if (disk.leftAlone !== null) {
      if (isMember && !disk.leftAlone.isWanted) warnOf(events, disk)
      continue
    }
    if (disk.isReadOnly || disk.name.startsWith('/dev/md')) continue
    if (!isMember && !(await hasSuperblock(deps, disk, signal))) continue
    await eraseDiskMetadata(disk.name, options)
    deps.log.info({ device: disk.name }, 'RAID member erased')
  }
}

async function hasSuperblock(deps: RaidDeps, disk: Disk, signal: AbortSignal): Promise<boolean> {
  try {
    return (await findRaidSignature(deps.exec, deps.root, disk.name, signal))?.type === MD_SIGNATURE
  } catch (error) {
    if (signal.aborted) throw error
    deps.log.warn({ device: disk.name, reason: messageOf(error) }, 'not looked at for RAID')
    return false
  }
}

function warnOf(events: EventPublisher, { name, leftAlone }: Disk): void {
  const error = new AgentError(
    'ProtectedDeviceError',
    `${name} is not erased: ${leftAlone?.reason}`,
  )
  warn(events, 'disk left alone', { device: name }, error)
}
