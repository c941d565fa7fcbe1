// SPDX-License-Identifier: Apache-2.0
// Owns destroying what is on one disk: its metadata (contract 5.3.9), or every byte of it. Does not
// choose disks and does not judge whether one may be erased; hardware/generic/erase/ does.
import { randomFill } from 'node:crypto'
import { promisify } from 'node:util'
import { sleep, throwIfAborted } from '../core/deadline.ts'
import { AgentError, systemErrorCode } from '../core/errors.ts'
import type { DiskRange } from '../core/extent.ts'
import { MiB, SYSFS_SECTOR_BYTES } from '../core/units.ts'
import type { Exec } from '../system/exec.ts'
import type { Root } from '../system/root.ts'
import {
  blockDeviceAt,
  blockDevicePath,
  listKernelPartitions,
  readSizeBytes,
  type SysfsBlockDevice,
} from '../system/sysfs.ts'
import { settle } from '../system/udev.ts'
import type { Logger } from '../telemetry/logger.ts'
import { allocateAligned } from './aligned-pool.ts'
import { type BlockDevice, openBlockDevice } from './block-device.ts'
import { assertNotInUse } from './in-use.ts'
import { listRemains } from './partition-table/partitioner.ts'

export interface EraseOptions {
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
  readonly signal: AbortSignal
}

/** How a whole disk is overwritten: like `shred --iterations N [--zero]`. */
export interface OverwritePasses {
  readonly randomPasses: number
  /** A last pass of zeros. */
  readonly endsWithZeros: boolean
}

/**
 * What is zeroed at the start of the disk and of each partition. Every superblock that Linux looks for
 * lies in the first 4 MiB; LUKS2 has its key slots in the first 16, and without them what was encrypted
 * stays lost.
 */
const HEAD_BYTES = 16 * MiB
/** The same at the end: backup GPT, RAID superblocks (md 0.90 and 1.0, IMSM, DDF), ZFS labels. */
const TAIL_BYTES = MiB
const BLOCK_BYTES = MiB
/** udev may look at a partition just when it is to be forgotten. */
const FORGET_ATTEMPTS = 5
const FORGET_DELAY_MS = 500

const fillRandomly = promisify<Uint8Array, Uint8Array>(randomFill)

/**
 * Destroys everything by which content of the disk could be found or booted: partition tables, signatures
 * and superblocks of file systems, RAID and volumes, on the disk and inside of each partition. Partitions
 * first, the table last: after a power cut a second try still knows where they were.
 * @param toBe ranges that are to become partitions: nothing may be found in them either
 * @throws TargetInUseError, DeviceNotFound, BlockDeviceError, ImageWriteError, ProcessError;
 *   BlockDeviceEraseError if something can be read afterwards
 */
export async function eraseDiskMetadata(
  path: string,
  options: EraseOptions,
  toBe: readonly DiskRange[] = [],
): Promise<void> {
  const { root } = options
  await assertNotInUse(root, path)
  {
    // held through all of it: otherwise udev could assemble an array from what is still there
    await using device = await openBlockDevice(path, { mode: 'write', root, log: options.log })
    const nodes = await listPartitionNodes(root, path)
    for (const { name } of nodes) await wipeSignatures(blockDevicePath(name), options)
    const partitions = [...(await rangesOf(root, nodes)), ...(await rangesInTable(device)), ...toBe]
    const ends = endsOfAll(partitions, device.geometry.sizeBytes)
    await zero(device, ends, options.signal)
    await wipeSignatures(path, options)
    const whole = endsOf({ offset: 0, length: device.geometry.sizeBytes })
    await zero(device, whole, options.signal)
    await assertZero(device, [...ends, ...whole])
  }
  await forgetPartitions(path, options)
  await assertNoSignature(path, options)
}

/**
 * Overwrites every byte of the disk, then forgets its partitions.
 * @param onBytes called with the bytes of each block once it is written; the sum is passes × size
 * @throws as {@link eraseDiskMetadata}
 */
export async function overwriteDisk(
  path: string,
  passes: OverwritePasses,
  options: EraseOptions & { readonly onBytes: (bytes: number) => void },
): Promise<void> {
  const { root } = options
  await assertNotInUse(root, path)
  {
    await using device = await openBlockDevice(path, { mode: 'write', root, log: options.log })
    for (let pass = 0; pass < passes.randomPasses; pass++) await overwrite(device, true, options)
    if (passes.endsWithZeros) {
      await overwrite(device, false, options)
      await assertZero(device, endsOf({ offset: 0, length: device.geometry.sizeBytes }))
    }
  }
  await forgetPartitions(path, options)
}

async function overwrite(
  device: BlockDevice,
  isRandom: boolean,
  { signal, onBytes }: { signal: AbortSignal; onBytes: (bytes: number) => void },
): Promise<void> {
  const { sizeBytes } = device.geometry
  const block = allocateAligned(BLOCK_BYTES)
  for (let offset = 0; offset < sizeBytes; offset += BLOCK_BYTES) {
    throwIfAborted(signal)
    const part = block.subarray(0, Math.min(BLOCK_BYTES, sizeBytes - offset))
    if (isRandom) await fillRandomly(part)
    await device.write(offset, part)
    onBytes(part.length)
  }
  await device.sync()
}

async function zero(
  device: BlockDevice,
  ranges: readonly DiskRange[],
  signal: AbortSignal,
): Promise<void> {
  const zeros = allocateAligned(BLOCK_BYTES)
  for (const { offset, length } of blocksOf(ranges)) {
    throwIfAborted(signal)
    await device.write(offset, zeros.subarray(0, length))
  }
  await device.sync()
}

/** Reads the ranges back: a disk that drops writes must not pass for erased. */
async function assertZero(device: BlockDevice, ranges: readonly DiskRange[]): Promise<void> {
  const [zeros, got] = [new Uint8Array(BLOCK_BYTES), allocateAligned(BLOCK_BYTES)]
  for (const { offset, length } of blocksOf(ranges)) {
    const part = got.subarray(0, length)
    await device.read(offset, part)
    if (Buffer.compare(part, zeros.subarray(0, length)) === 0) continue
    throw new AgentError(
      'BlockDeviceEraseError',
      `${device.geometry.path} does not read as zeros at bytes ${offset} to ${offset + length - 1} ` +
        'after they were zeroed; the disk or another writer to it is suspect',
    )
  }
}

function blocksOf(ranges: readonly DiskRange[]): DiskRange[] {
  return ranges.flatMap(({ offset, length }) =>
    Array.from({ length: Math.ceil(length / BLOCK_BYTES) }, (_, i) => ({
      offset: offset + i * BLOCK_BYTES,
      length: Math.min(BLOCK_BYTES, length - i * BLOCK_BYTES),
    })),
  )
}

/** Head and tail of a disk or partition; the whole of a small one. */
function endsOf({ offset, length }: DiskRange): DiskRange[] {
  const headBytes = Math.min(HEAD_BYTES, length)
  const tailBytes = Math.min(TAIL_BYTES, length - headBytes)
  return [
    { offset, length: headBytes },
    { offset: offset + length - tailBytes, length: tailBytes },
  ].filter((range) => range.length > 0)
}

/** A table on the disk may claim anything: what lies beyond the disk is cut off. */
function endsOfAll(partitions: readonly DiskRange[], sizeBytes: number): DiskRange[] {
  const onDisk = partitions
    .filter(({ offset }) => offset < sizeBytes)
    .map(({ offset, length }) => ({ offset, length: Math.min(length, sizeBytes - offset) }))
  return onDisk.flatMap(endsOf)
}

/** What the kernel knows: logical partitions too, and tables that only it can read. */
async function listPartitionNodes(root: Root, path: string): Promise<SysfsBlockDevice[]> {
  const device = await blockDeviceAt(root, path)
  return device === undefined ? [] : await listKernelPartitions(root, device)
}

async function rangesOf(root: Root, nodes: readonly SysfsBlockDevice[]): Promise<DiskRange[]> {
  return await Promise.all(
    nodes.map(async (node) => ({
      offset: Number((await root.readText(`${node.directory}/start`)) ?? 0) * SYSFS_SECTOR_BYTES,
      length: await readSizeBytes(root, node),
    })),
  )
}

/** What the table says: a kernel without partition parsers knows none. A broken table has no say. */
async function rangesInTable(device: BlockDevice): Promise<DiskRange[]> {
  try {
    return (await listRemains(device)).map(({ range }) => range)
  } catch {
    return []
  }
}

/** libblkid knows more signatures and places than we zero; without wipefs the zeros must do. */
async function wipeSignatures(path: string, options: EraseOptions): Promise<void> {
  try {
    await options.exec(['wipefs', '--force', '--all', '--', path], { signal: options.signal })
  } catch (error) {
    if (!isMissing(error)) throw error
    options.log.warn({ device: path }, 'wipefs is not installed; zeroing the known places only')
  }
}

async function assertNoSignature(path: string, { exec, signal }: EraseOptions): Promise<void> {
  let stdout: string
  try {
    const argv = ['wipefs', '--noheadings', '--output', 'OFFSET,TYPE', '--', path] as const
    ;({ stdout } = await exec(argv, { signal }))
  } catch (error) {
    if (isMissing(error)) return
    throw error
  }
  const left = stdout.trim().replaceAll(/\s+/g, ' ')
  if (left === '') return
  throw new AgentError(
    'BlockDeviceEraseError',
    `${path} still has signatures after erasing its metadata: ${left}; does another program write to it?`,
  )
}

/**
 * The kernel goes on offering partitions of a table that is gone until it is told, and keeps one that udev still looks at
 * (BLKPG_DEL_PARTITION: EBUSY). What something else holds for long stays, and the log says so.
 */
async function forgetPartitions(path: string, options: EraseOptions): Promise<void> {
  const { exec, root, log, signal } = options
  for (let attempt = 1; attempt <= FORGET_ATTEMPTS; attempt++) {
    // exits with 1 where there are none, and where one stays
    await exec(['partx', '--delete', path], { okExitCodes: [0, 1] }).catch(() => undefined)
    await settle(exec)
    if ((await listPartitionNodes(root, path)).length === 0) return
    if (attempt < FORGET_ATTEMPTS) await sleep(FORGET_DELAY_MS, signal)
  }
  const partitions = (await listPartitionNodes(root, path)).map(({ name }) => name)
  log.warn({ device: path, partitions }, 'the kernel keeps partitions of a table that is gone')
}

function isMissing(error: unknown): boolean {
  return systemErrorCode(error) === 'ENOENT'
}
