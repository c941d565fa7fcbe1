// SPDX-License-Identifier: Apache-2.0
// Owns the ESP of an image that was written to an array: firmware sees nothing inside of one, so its content goes to an
// ESP on each member, and these are a mirror of their own (contract 5.5). Does not register boot entries.
import { throwIfAborted } from '../../core/deadline.ts'
import { AgentError, messageOf } from '../../core/errors.ts'
import type { EventPublisher } from '../../core/events.ts'
import type { DiskRange } from '../../core/extent.ts'
import { formatBytes, MiB } from '../../core/units.ts'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import { blockDeviceAt, blockDevicePath, listHolders } from '../../system/sysfs.ts'
import { settle } from '../../system/udev.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { allocateAligned } from '../aligned-pool.ts'
import { type BlockDevice, openBlockDevice } from '../block-device.ts'
import { type ProbedFileSystem, probeFileSystem } from '../file-system-probe.ts'
import { findEsp } from '../partition-table/esp.ts'
import { pauseAssembly } from './assembly-pause.ts'
import { ensureBootPartitions, type MemberBootPartition } from './boot-partition.ts'
import { addLateMembers } from './late-member.ts'
import { createArray, freeArrayPath, stopArray } from './mdadm.ts'
import { listMemberDisks } from './member-disks.ts'

export interface EspMirrorRequest {
  readonly exec: Exec
  readonly root: Root
  readonly log: Pick<Logger, 'info' | 'warn'>
  /** The array with the image. */
  readonly devicePath: string
  readonly efiSystemPartUuid?: string | null
  /** See AssemblyPauseDeps. */
  readonly pausePath: string
  /** Hears how far a copy to one more member is. */
  readonly events: EventPublisher
  readonly signal?: AbortSignal | undefined
}

export interface EspMirror {
  /** `/dev/md1`; the FAT begins at its first byte, as it does on each member. */
  readonly path: string
  readonly fileSystem: ProbedFileSystem
  /** On each disk that the array lies on. */
  readonly members: readonly MemberBootPartition[]
}

/** Its name in the superblocks: delete_configuration knows it by that, ironic-python-agent's does too. */
const NAME = 'esp'
/** What md takes of the end of a member for metadata 1.0, at most. */
const SUPERBLOCK_BYTES = MiB
const BLOCK_BYTES = MiB
/** A FAT's boot sector, and the copy of it. */
const FAT_HEAD_BYTES = MiB / 16
const TAKE_BACK_TIMEOUT_MS = 120_000

/**
 * Moves the ESP inside of the array to a mirror of ESPs on its members: byte by byte, so that the UUID by which the
 * image mounts it stays. Done once, a second call finds the mirror. A failure leaves no half mirror.
 * @throws DeviceNotFound without an ESP; DeploymentError where the members have no room; what mdadm throws
 */
export async function mirrorEsp(request: EspMirrorRequest): Promise<EspMirror> {
  const { exec, root, log, devicePath } = request
  const signal = request.signal ?? new AbortController().signal
  const { range } = await findEsp(request)
  const array = await blockDeviceAt(root, devicePath)
  const disks = array === undefined ? [] : await listMemberDisks(root, array)
  await using _pause = await pauseAssembly(request)
  const members = await ensureBootPartitions(disks, 'esp', { exec, root, signal })
  const known = await knownMirror(root, members)
  const isThere = (await probeAt(request, devicePath, range)).type === 'vfat'
  if (isThere) assertFits(range, members)
  else if (known === undefined) {
    throw new AgentError(
      'DeviceNotFound',
      `the EFI system partition of ${devicePath} holds no FAT file system. Are you using a UEFI-compatible image?`,
    )
  }
  const work: Work = { ...request, signal, members }
  const path = known ? await completed(work, known) : await copied(work, range)
  if (known && isThere) await copy(work, range, path)
  if (isThere) await forget(work, range)
  log.info({ array: path, members: members.map(({ node }) => node) }, 'ESP of each member is ready')
  const whole = { offset: 0, length: range.length }
  return { path, members, fileSystem: await probeAt(request, path, whole) }
}

interface Work extends EspMirrorRequest {
  readonly signal: AbortSignal
  readonly members: readonly MemberBootPartition[]
}

async function probeAt(
  { exec, root }: EspMirrorRequest,
  path: string,
  range: DiskRange,
): Promise<ProbedFileSystem> {
  await using device = await openBlockDevice(path, { mode: 'read', root })
  return await probeFileSystem(exec, device, range)
}

function assertFits({ length }: DiskRange, members: readonly MemberBootPartition[]): void {
  for (const { node, sizeBytes } of members) {
    if (length <= sizeBytes - SUPERBLOCK_BYTES) continue
    throw new AgentError(
      'DeploymentError',
      `the EFI system partition of the image has ${formatBytes(length)}, and ${node}, where firmware is to find it, has ` +
        `${formatBytes(sizeBytes)}; make that of the image smaller`,
    )
  }
}

/** The array that ESPs are in already, if one is. */
async function knownMirror(
  root: Root,
  members: readonly MemberBootPartition[],
): Promise<string | undefined> {
  const holders = new Set<string>()
  for (const { node } of members) for (const name of await holdersOf(root, node)) holders.add(name)
  if (holders.size <= 1) return [...holders].map(blockDevicePath)[0]
  throw new AgentError(
    'DeploymentError',
    `the ESPs ${members.map(({ node }) => node).join(', ')} are held by ${[...holders].join(', ')}; run delete_configuration`,
  )
}

async function holdersOf(root: Root, node: string): Promise<string[]> {
  const device = await blockDeviceAt(root, node)
  return device === undefined ? [] : await listHolders(root, device)
}

/** A disk that took the place of another, or came later, has an ESP that is in no mirror yet. */
async function completed(work: Work, path: string): Promise<string> {
  const members = work.members.map(({ node }) => node)
  const late: string[] = []
  for (const node of members) if ((await holdersOf(work.root, node)).length === 0) late.push(node)
  for (const node of late) await zeroEnds(work, node)
  await addLateMembers(work, path, { members, late })
  return path
}

/** A new mirror with the content of the ESP. */
async function copied(work: Work, range: DiskRange): Promise<string> {
  for (const { node } of work.members) await zeroEnds(work, node)
  const path = await freeArrayPath(work.root)
  const members = work.members.map(({ node }) => node)
  try {
    await createArray(work, { path, name: NAME, level: '1', members, metadata: '1.0' })
    await settle(work.exec)
    await copy(work, range, path)
    return path
  } catch (error) {
    await takeBack({ ...work, signal: AbortSignal.timeout(TAKE_BACK_TIMEOUT_MS) }, path)
    throw error
  }
}

/** What could not be taken back is logged; the first failure is what is told. */
async function takeBack(work: Work, path: string): Promise<void> {
  try {
    if ((await blockDeviceAt(work.root, path)) !== undefined) await stopArray(work, path)
    for (const { node } of work.members) await zeroEnds(work, node)
  } catch (error) {
    work.log.warn({ array: path, reason: messageOf(error) }, 'mirror of ESPs left behind')
  }
}

async function copy(work: Work, { offset, length }: DiskRange, path: string): Promise<void> {
  const { root, signal, devicePath } = work
  await using source = await openBlockDevice(devicePath, { mode: 'read', root })
  await using target = await openBlockDevice(path, { mode: 'write', root })
  const block = allocateAligned(BLOCK_BYTES)
  for (let at = 0; at < length; at += BLOCK_BYTES) {
    throwIfAborted(signal)
    const part = block.subarray(0, Math.min(BLOCK_BYTES, length - at))
    await source.read(offset + at, part)
    await target.write(at, part)
  }
  await target.sync()
}

/** Two file systems of one UUID: the instance might mount the one that firmware does not see. */
async function forget({ root, devicePath }: Work, { offset, length }: DiskRange): Promise<void> {
  await using device = await openBlockDevice(devicePath, { mode: 'write', root })
  await zero(device, { offset, length: Math.min(FAT_HEAD_BYTES, length) })
}

async function zeroEnds({ root }: Work, node: string): Promise<void> {
  await using device = await openBlockDevice(node, { mode: 'write', root })
  const { sizeBytes } = device.geometry
  const length = Math.min(MiB, sizeBytes)
  await zero(device, { offset: 0, length })
  await zero(device, { offset: sizeBytes - length, length })
}

async function zero(device: BlockDevice, { offset, length }: DiskRange): Promise<void> {
  await device.write(offset, new Uint8Array(length))
  await device.sync()
}
