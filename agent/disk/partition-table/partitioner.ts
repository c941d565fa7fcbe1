// SPDX-License-Identifier: Apache-2.0
// Owns partition tables on a disk: erase, list, move the backup GPT to the end, add a partition. All by
// byte offsets of the open device: no partition nodes, no waits for udev, no mounts.
import { randomUUID } from 'node:crypto'
import { AgentError, isAgentError } from '../../core/errors.ts'
import { type DiskRange, endOf } from '../../core/extent.ts'
import { formatBytes, MiB, roundDown, roundUp } from '../../core/units.ts'
import type { DiskBytes } from '../block-device.ts'
import type { DeviceGeometry } from '../geometry.ts'
import {
  addGptPartition,
  ESP_TYPE,
  encodeGpt,
  entriesRange,
  fitGpt,
  type Gpt,
  type GptBytes,
  hasGptSignature,
  LINUX_FS_TYPE,
  parseGptEntries,
  parseGptHeader,
} from './gpt.ts'
import {
  addMbrPartition,
  FAT32_LBA_TYPE,
  fitProtectiveMbr,
  MBR_ESP_TYPE,
  parseMbr,
  pointsToGpt,
  rearmMbr,
} from './mbr.ts'

/** A partition by its place on the whole disk. */
export interface Partition {
  /** 1-based, as in /dev/sda1. */
  readonly number: number
  /** Bytes of the whole disk. */
  readonly range: DiskRange
  /** Type GUID in lower case, or `0x83` and the like on MBR disks. */
  readonly type: string
  readonly isEsp: boolean
  /** Unique GUID, lower case; null on MBR disks. */
  readonly uniqueGuid: string | null
  readonly name: string
}

export interface PartitionTable {
  /** null: neither GPT nor MBR. */
  readonly label: 'gpt' | 'msdos' | null
  readonly partitions: readonly Partition[]
}

/** parted's optimal alignment where the disk says nothing else. */
const ALIGNMENT_BYTES = MiB
/** MBR addresses end at 2 TiB; the contract leaves the last MiB out (5.3.8). */
const MBR_LIMIT_BYTES = (2_097_152 - 1) * MiB

/**
 * Where boot code and partition tables lie: the first and the last MiB. Zeroed before anything is
 * written, and to be held back until the image is verified: UEFI firmware restores the primary GPT
 * from a backup in the last sectors, so an image as large as the disk could boot from its tail alone.
 */
export function bootRanges(geometry: DeviceGeometry): DiskRange[] {
  const headEnd = Math.min(MiB, geometry.sizeBytes)
  const tailStart = Math.max(headEnd, geometry.sizeBytes - MiB)
  return [
    { offset: 0, length: headEnd },
    { offset: tailStart, length: geometry.sizeBytes - tailStart },
  ].filter(({ length }) => length > 0)
}

/**
 * Zeroes the {@link bootRanges} and waits for the medium: from then on nothing on the disk can boot
 * (contract 5.3.9; both GPTs, MBR and RAID superblocks lie there). Throws ImageWriteError.
 */
export async function eraseMetadata(device: DiskBytes): Promise<void> {
  for (const { offset, length } of bootRanges(device.geometry)) {
    await device.write(offset, new Uint8Array(length))
  }
  await device.sync()
}

/**
 * The partitions on the disk, by the table that kernel and firmware go by: the first sector decides. With an
 * entry of type 0xEE it is the GPT, or nothing; without one it is the MBR, whatever an older GPT beside it
 * says. Throws BlockDeviceError for a GPT that does not hold together.
 */
export async function listPartitions(device: DiskBytes): Promise<PartitionTable> {
  const gpt = await readGpt(device)
  if (gpt !== undefined) return { label: 'gpt', partitions: gpt.partitions.map(gptPartition(gpt)) }
  const first = await readSector(device, 0)
  const mbr = parseMbr(first)
  if (mbr === undefined || mbr.hasProtectiveEntry) return { label: null, partitions: [] }
  return { label: 'msdos', partitions: mbrPartitions(device, first) }
}

/** The primary partitions of an MBR, whoever believes in it. */
export function mbrPartitions(device: DiskBytes, sector: Uint8Array): Partition[] {
  const { logicalSectorBytes } = device.geometry
  return (parseMbr(sector)?.partitions ?? []).map((partition) => ({
    number: partition.number,
    range: {
      offset: partition.firstLba * logicalSectorBytes,
      length: partition.sectorCount * logicalSectorBytes,
    },
    type: mbrType(partition.type),
    isEsp: partition.type === MBR_ESP_TYPE,
    uniqueGuid: null,
    name: '',
  }))
}

/**
 * The partitions of every table that is there, also of a GPT that the first sector does not lead to, and of an MBR that
 * was disarmed: for who must
 * not lose what an earlier table describes. A broken table has none.
 */
export async function listRemains(device: DiskBytes): Promise<Partition[]> {
  const announced = await listPartitions(device).catch(() => undefined)
  if (announced?.label === 'gpt') return [...announced.partitions]
  const gpt = await readAnyGpt(device).catch(() => undefined)
  const disarmed = rearmMbr(await readSector(device, 0))
  return [
    ...(announced?.partitions ?? []),
    ...(disarmed ? mbrPartitions(device, disarmed) : []),
    ...(gpt?.partitions.map(gptPartition(gpt)) ?? []),
  ]
}

/**
 * Moves the backup GPT to the end of the disk when the image is smaller than it (contract 5.3.7), or makes it
 * anew where none is.
 * Backup first, then primary: a power cut in between leaves one good table.
 * @returns whether the disk has a GPT and whether it was changed
 * Throws BlockDeviceError if the table is broken or a partition does not fit the disk.
 */
export async function fixBackupGpt(device: DiskBytes): Promise<'no-gpt' | 'in-place' | 'moved'> {
  const gpt = await readGpt(device)
  if (gpt === undefined) return 'no-gpt'
  const totalSectors = sectorCount(device)
  const fitted = fitGpt(gpt, totalSectors)
  const isInPlace =
    gpt.header.alternateLba === totalSectors - 1 &&
    gpt.header.lastUsableLba <= fitted.header.lastUsableLba &&
    (await hasGoodBackup(device, gpt))
  if (isInPlace) return 'in-place'
  await writeGpt(device, fitted)
  return 'moved'
}

/** False where the image's end was cut off: the header names a backup that is not there. */
async function hasGoodBackup(device: DiskBytes, { header, sectorBytes }: Gpt): Promise<boolean> {
  try {
    const sector = await readSector(device, header.alternateLba)
    const backup = parseGptHeader(sector, header.alternateLba)
    const { offset, length } = entriesRange(backup, sectorBytes)
    const entries = new Uint8Array(length)
    await device.read(offset, entries)
    parseGptEntries(backup, entries, sectorBytes)
    return backup.entriesCrc32 === header.entriesCrc32
  } catch (error) {
    if (isAgentError(error, 'BlockDeviceError')) return false
    throw error
  }
}

/**
 * Adds a partition of at least `sizeBytes`, aligned to 1 MiB, in the last gap it fits in: usually the end
 * of the disk (contract 5.3.8). A GPT is first moved to the end of the disk.
 * Throws DeploymentError if there is no table, no free entry or no room.
 */
export async function addPartition(
  device: DiskBytes,
  request: { readonly sizeBytes: number; readonly name: string },
): Promise<Partition> {
  const gpt = await readGpt(device)
  if (gpt === undefined) return await addToMbr(device, request.sizeBytes)
  const { sectorBytes } = gpt
  const fitted = fitGpt(gpt, sectorCount(device))
  const { firstUsableLba, lastUsableLba } = fitted.header
  const usable = {
    offset: firstUsableLba * sectorBytes,
    length: (lastUsableLba + 1 - firstUsableLba) * sectorBytes,
  }
  const taken = fitted.partitions.map(gptPartition(fitted)).map(({ range }) => range)
  const range = lastGap(usable, taken, request.sizeBytes, device.geometry.path)
  const uniqueGuid = randomUUID()
  const changed = addGptPartition(fitted, {
    typeGuid: LINUX_FS_TYPE,
    uniqueGuid,
    firstLba: range.offset / sectorBytes,
    lastLba: endOf(range) / sectorBytes - 1,
    attributes: 0n,
    name: request.name,
  })
  await writeGpt(device, changed)
  const added = changed.partitions.find((partition) => partition.uniqueGuid === uniqueGuid)
  if (added === undefined) throw new Error('the added partition is not in the table')
  return gptPartition(changed)(added)
}

async function addToMbr(device: DiskBytes, sizeBytes: number): Promise<Partition> {
  const { path, logicalSectorBytes, sizeBytes: diskBytes } = device.geometry
  const { label, partitions } = await listPartitions(device)
  if (label === null) {
    throw new AgentError(
      'DeploymentError',
      `${path} has no partition table, so no partition can be added for the config drive`,
    )
  }
  const end = diskBytes > MBR_LIMIT_BYTES + MiB ? MBR_LIMIT_BYTES : diskBytes
  const usable = { offset: ALIGNMENT_BYTES, length: roundDown(end, logicalSectorBytes) - MiB }
  const taken = partitions.map((partition) => partition.range)
  const range = lastGap(usable, taken, sizeBytes, path)
  const { sector, number } = addMbrPartition(await readSector(device, 0), {
    isActive: false,
    type: FAT32_LBA_TYPE,
    firstLba: range.offset / logicalSectorBytes,
    sectorCount: range.length / logicalSectorBytes,
  })
  await device.write(0, sector)
  await device.sync()
  return { number, range, type: mbrType(FAT32_LBA_TYPE), isEsp: false, uniqueGuid: null, name: '' }
}

/** The end of the last free stretch of `usable` that can hold `sizeBytes` from an aligned start on. */
function lastGap(
  usable: DiskRange,
  taken: readonly DiskRange[],
  sizeBytes: number,
  path: string,
): DiskRange {
  let end = endOf(usable)
  for (const range of [...taken].sort((a, b) => endOf(b) - endOf(a))) {
    const gap = alignedTail(Math.max(endOf(range), usable.offset), end, sizeBytes)
    if (gap !== undefined) return gap
    end = Math.min(end, range.offset)
  }
  const gap = alignedTail(usable.offset, end, sizeBytes)
  if (gap !== undefined) return gap
  throw new AgentError(
    'DeploymentError',
    `${path} has no free ${formatBytes(sizeBytes)} for the config drive; use a larger disk, or an image ` +
      'whose partitions leave that much free (it may grow them at first boot)',
  )
}

function alignedTail(from: number, end: number, sizeBytes: number): DiskRange | undefined {
  const offset = roundDown(end - sizeBytes, ALIGNMENT_BYTES)
  return offset >= roundUp(from, ALIGNMENT_BYTES) ? { offset, length: end - offset } : undefined
}

/** The primary GPT; undefined if the first sector leads to none. Throws BlockDeviceError if it is broken. */
async function readGpt(device: DiskBytes): Promise<Gpt | undefined> {
  const { logicalSectorBytes, sizeBytes } = device.geometry
  if (sizeBytes < 3 * logicalSectorBytes) return undefined
  return pointsToGpt(await readSector(device, 0)) ? await readAnyGpt(device) : undefined
}

/** The partitions of the GPT at LBA 1, whatever the first sector says; undefined for none. Throws BlockDeviceError. */
export async function listGptPartitions(device: DiskBytes): Promise<Partition[] | undefined> {
  const gpt = await readAnyGpt(device)
  return gpt?.partitions.map(gptPartition(gpt))
}

async function readAnyGpt(device: DiskBytes): Promise<Gpt | undefined> {
  const { logicalSectorBytes } = device.geometry
  const sector = await readSector(device, 1)
  if (!hasGptSignature(sector)) return undefined
  const header = parseGptHeader(sector, 1)
  const { offset, length } = entriesRange(header, logicalSectorBytes)
  const entries = new Uint8Array(length)
  await device.read(offset, entries)
  return parseGptEntries(header, entries, logicalSectorBytes)
}

async function writeGpt(device: DiskBytes, gpt: Gpt): Promise<void> {
  const write = async (parts: readonly GptBytes[]) => {
    for (const { offset, bytes } of parts) await device.write(offset, bytes)
    await device.sync()
  }
  const { backup, primary } = encodeGpt(gpt)
  await write(backup)
  await write(primary)
  const mbr = await readSector(device, 0)
  const fitted = fitProtectiveMbr(mbr, sectorCount(device))
  if (Buffer.compare(mbr, fitted) !== 0) await write([{ offset: 0, bytes: fitted }])
}

/** One logical sector of the disk. */
export async function readSector(device: DiskBytes, lba: number): Promise<Uint8Array> {
  const { logicalSectorBytes } = device.geometry
  const sector = new Uint8Array(logicalSectorBytes)
  await device.read(lba * logicalSectorBytes, sector)
  return sector
}

/** How {@link Partition} writes a type of an MBR. */
export function mbrType(type: number): string {
  return `0x${type.toString(16)}`
}

function sectorCount(device: DiskBytes): number {
  return Math.floor(device.geometry.sizeBytes / device.geometry.logicalSectorBytes)
}

function gptPartition(gpt: Gpt): (partition: Gpt['partitions'][number]) => Partition {
  return ({ number, firstLba, lastLba, typeGuid, uniqueGuid, name }) => ({
    number,
    range: {
      offset: firstLba * gpt.sectorBytes,
      length: (lastLba - firstLba + 1) * gpt.sectorBytes,
    },
    type: typeGuid,
    isEsp: typeGuid === ESP_TYPE,
    uniqueGuid,
    name,
  })
}
