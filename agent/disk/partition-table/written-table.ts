// SPDX-License-Identifier: Apache-2.0
// Owns the judgement of the table that an image has brought: kernel and firmware of this machine will find
// partitions by it, or the deploy fails and says why (docs/design/140-tables-and-commit.md). Changes nothing.
import { AgentError, messageOf } from '../../core/errors.ts'
import { type DiskRange, endOf } from '../../core/extent.ts'
import type { Exec } from '../../system/exec.ts'
import type { DiskBytes } from '../block-device.ts'
import { type ProbedFileSystem, probeFileSystem } from '../file-system-probe.ts'
import { hasGptSignature, parseGptHeader } from './gpt.ts'
import { parseMbr } from './mbr.ts'
import { listPartitions, type Partition, type PartitionTable, readSector } from './partitioner.ts'

/** Sector sizes that tables are made for. */
const SECTOR_SIZES: readonly number[] = [512, 1024, 2048, 4096]
/** Nothing, and the three containers of logical partitions: none holds a file system of its own. */
const CONTAINER_TYPES: ReadonlySet<string> = new Set(['0x0', '0x5', '0xf', '0x85'])

const LINUX_ENTRY_BYTES = 128

export interface WrittenTableOptions {
  readonly exec: Exec
  /** What lies behind it on the disk is not the image's. */
  readonly imageBytes: number
}

/**
 * Checks that the written image has left at least one partition that this disk can have (contract 5.2 step 5).
 * Throws DeploymentError that says what is there instead; BlockDeviceError if blkid cannot be asked.
 */
export async function assertPartitioned(
  device: DiskBytes,
  options: WrittenTableOptions,
): Promise<PartitionTable> {
  const { path } = device.geometry
  let table: PartitionTable
  try {
    table = await listPartitions(device)
  } catch (error) {
    throw new AgentError(
      'DeploymentError',
      `unable to find a valid partition table on ${path} after writing the image: ${messageOf(error)}`,
      { cause: error },
    )
  }
  if (table.partitions.every(({ type }) => type === '0x0')) {
    throw refused(path, await whyNone(device, options))
  }
  assertInside(device, table)
  if (table.label === 'gpt') await assertEntriesLinuxReads(device)
  else await assertOwnSectors(device, table, options)
  return table
}

/** parted and UEFI refuse the whole table for one such partition, Linux leaves the partition out or cuts it. */
function assertInside({ geometry }: DiskBytes, { partitions }: PartitionTable): void {
  const outside = partitions.find(
    ({ range, type }) => type !== '0x0' && endOf(range) > geometry.sizeBytes,
  )
  if (outside === undefined) return
  throw new AgentError(
    'DeploymentError',
    `partition ${outside.number} of the image ends at byte ${endOf(outside.range)}, ${geometry.path} at ` +
      `${geometry.sizeBytes}: the image is for a larger disk, or its table does not count sectors of ` +
      `${geometry.logicalSectorBytes} bytes as this disk does`,
  )
}

/** UEFI allows larger entries (2.10 §5.3.2), Linux refuses the table for them (block/partitions/efi.c). */
async function assertEntriesLinuxReads(device: DiskBytes): Promise<void> {
  const { entryBytes } = parseGptHeader(await readSector(device, 1), 1)
  if (entryBytes === LINUX_ENTRY_BYTES) return
  throw refused(
    device.geometry.path,
    `the image has a GPT with entries of ${entryBytes} bytes, Linux reads those of ${LINUX_ENTRY_BYTES} only`,
  )
}

/**
 * An MBR does not say in which sectors it counts. What begins where its partitions begin does: file systems that
 * are there only if it is read with another sector size; where none is known at all, an end that fits the image
 * only so.
 */
async function assertOwnSectors(
  device: DiskBytes,
  table: PartitionTable,
  { exec, imageBytes }: WrittenTableOptions,
): Promise<void> {
  const { logicalSectorBytes, path } = device.geometry
  const counted = table.partitions.filter(({ type }) => !CONTAINER_TYPES.has(type))
  const holdsFileSystem = async (ranges: readonly DiskRange[]) => {
    for (const range of ranges) {
      const length = Math.min(endOf(range), imageBytes) - range.offset
      if (length < 512) continue
      if ((await probeFileSystem(exec, device, { offset: range.offset, length })).type) return true
    }
    return false
  }
  const rangesFor = (sectorBytes: number) => counted.map(scaled(sectorBytes / logicalSectorBytes))
  if (await holdsFileSystem(rangesFor(logicalSectorBytes))) return
  const fits = (sectorBytes: number) =>
    rangesFor(sectorBytes).every((range) => endOf(range) <= imageBytes)
  for (const other of [512, 4096]) {
    if (other === logicalSectorBytes) continue
    const isOther =
      (await holdsFileSystem(rangesFor(other))) ||
      (other < logicalSectorBytes && fits(other) && !fits(logicalSectorBytes))
    if (!isOther) continue
    throw refused(
      path,
      `the image has an MBR for ${other}-byte sectors, the disk has ${logicalSectorBytes}-byte sectors`,
    )
  }
}

function scaled(factor: number): (partition: Partition) => DiskRange {
  return ({ range }) => ({ offset: range.offset * factor, length: range.length * factor })
}

async function whyNone(device: DiskBytes, options: WrittenTableOptions): Promise<string> {
  const { logicalSectorBytes } = device.geometry
  for (const sectorBytes of SECTOR_SIZES) {
    if (!(await hasGptAt(device, sectorBytes))) continue
    if (sectorBytes === logicalSectorBytes) {
      return (
        'the image has a GPT, but its first sector has no entry of type 0xEE at LBA 1, without which neither ' +
        'kernel nor firmware looks for one; write the table anew with sgdisk or parted'
      )
    }
    return `the image has a GPT for ${sectorBytes}-byte sectors, the disk has ${logicalSectorBytes}-byte sectors`
  }
  if (parseMbr(await readSector(device, 0))?.hasProtectiveEntry) {
    return 'its first sector says that a GPT follows, but none does; was the image cut?'
  }
  const { type } = await probeWhole(device, options)
  return type
    ? `the image is one ${type} file system without a partition table; use the image of a whole disk, or, for a node, ` +
        'name kernel_id and ramdisk_id as well (instance_info.kernel, .ramdisk), which makes it a partition image'
    : 'the image holds no partition table with a partition in it; is it a whole-disk image?'
}

async function hasGptAt(device: DiskBytes, offset: number): Promise<boolean> {
  const header = new Uint8Array(8)
  await device.read(offset, header)
  return hasGptSignature(header)
}

async function probeWhole(
  device: DiskBytes,
  { exec, imageBytes }: WrittenTableOptions,
): Promise<ProbedFileSystem> {
  const length = Math.min(imageBytes, device.geometry.sizeBytes)
  return await probeFileSystem(exec, device, { offset: 0, length })
}

function refused(path: string, why: string): AgentError {
  return new AgentError(
    'DeploymentError',
    `no partitions found on ${path} after writing the image: ${why}`,
  )
}
