// SPDX-License-Identifier: Apache-2.0
// Owns the partitions that become members: a new table on each disk, and the nodes that the kernel makes of it.
// Does not choose disks nor places (plan.ts).
import { randomBytes } from 'node:crypto'
import { sleep, throwIfAborted } from '../../core/deadline.ts'
import { AgentError } from '../../core/errors.ts'
import { endOf } from '../../core/extent.ts'
import { openBlockDevice } from '../../disk/block-device.ts'
import { type EraseOptions, eraseDiskMetadata } from '../../disk/erase.ts'
import { assertNotInUse } from '../../disk/in-use.ts'
import { addMbrPartition, emptyMbr } from '../../disk/partition-table/mbr.ts'
import { listRemains } from '../../disk/partition-table/partitioner.ts'
import type { Root } from '../../system/root.ts'
import { blockDeviceAt, blockDevicePath, listKernelPartitions } from '../../system/sysfs.ts'
import { settle } from '../../system/udev.ts'
import type { MemberDisk } from './plan.ts'

/** sgdisk's `Linux RAID`. */
const RAID_TYPE = 'fd00'
/** The same of an MBR. */
const MBR_RAID_TYPE = 0xfd
/** sgdisk asks the kernel to read the table anew, which waits for udev, ms. */
const TABLE_TIMEOUT_MS = 60_000
const NODE_ATTEMPTS = 20
const NODE_DELAY_MS = 500

/**
 * Throws SoftwareRAIDError for a disk with partitions: somebody's data may be in them, and delete_configuration or
 * erase_devices_metadata is how one says that nobody's is. Throws TargetInUseError for one that is in use.
 */
export async function assertEmpty(root: Root, path: string): Promise<void> {
  await assertNotInUse(root, path)
  const device = await blockDeviceAt(root, path)
  const known = device ? (await listKernelPartitions(root, device)).map(({ name }) => name) : []
  const inTable = await numbersInTable(root, path)
  if (known.length === 0 && inTable.length === 0) return
  const names = known.length > 0 ? known.join(', ') : `numbers ${inTable.join(', ')}`
  throw new AgentError(
    'SoftwareRAIDError',
    `${path} has partitions (${names}), and a new array takes disks without any; run ` +
      'delete_configuration or erase_devices_metadata before it',
  )
}

/** A table that cannot be read describes nothing. */
async function numbersInTable(root: Root, path: string): Promise<number[]> {
  await using device = await openBlockDevice(path, { mode: 'read', root })
  return (await listRemains(device).catch(() => [])).map(({ number }) => number)
}

/**
 * Writes the table of one disk, empties the places of its partitions and waits until they are there. What an older
 * array left at the same place is destroyed before the table leads to it: udev would start that array.
 * Returns the nodes, partition 1 first.
 * @throws SoftwareRAIDError if they do not appear; what erasing metadata throws; ProcessError
 */
export async function makeMemberPartitions(
  member: MemberDisk,
  options: EraseOptions,
): Promise<string[]> {
  const { disk, label, partitions } = member
  const ranges = partitions.map(({ range }) => range)
  await eraseDiskMetadata(disk.name, options, ranges)
  if (label === 'gpt') await writeGpt(member, options)
  else await writeMbr(member, options)
  return await waitForNodes(disk.name, partitions.length, options)
}

async function writeGpt({ disk, partitions }: MemberDisk, options: EraseOptions): Promise<void> {
  const sectorBytes = disk.logicalSectorBytes ?? 512
  const words = partitions.flatMap(({ range, volumeName }, i) => [
    `--new=${i + 1}:${range.offset / sectorBytes}:${endOf(range) / sectorBytes - 1}`,
    `--typecode=${i + 1}:${RAID_TYPE}`,
    `--change-name=${i + 1}:${volumeName}`,
  ])
  const argv = ['sgdisk', '--clear', ...words, disk.name] as const
  await options.exec(argv, { signal: options.signal, timeoutMs: TABLE_TIMEOUT_MS })
}

/** The kernel takes it up when its nodes are waited for. */
async function writeMbr({ disk, partitions }: MemberDisk, { root }: EraseOptions): Promise<void> {
  await using device = await openBlockDevice(disk.name, { mode: 'write', root })
  const { logicalSectorBytes: sectorBytes } = device.geometry
  // zero would mean that the disk has none
  let sector = emptyMbr(sectorBytes, randomBytes(4).readUInt32LE() || 1)
  for (const { range } of partitions) {
    const [firstLba, sectorCount] = [range.offset / sectorBytes, range.length / sectorBytes]
    sector = addMbrPartition(sector, {
      isActive: false,
      type: MBR_RAID_TYPE,
      firstLba,
      sectorCount,
    }).sector
  }
  await device.write(0, sector)
  await device.sync()
}

async function waitForNodes(
  path: string,
  count: number,
  { exec, root, signal }: EraseOptions,
): Promise<string[]> {
  for (let attempt = 1; attempt <= NODE_ATTEMPTS; attempt++) {
    throwIfAborted(signal)
    await settle(exec)
    const nodes = await nodesByNumber(root, path)
    if (nodes.length === count) return nodes
    // exits with 1 where they are there already
    await exec(['partx', '--update', path], { signal, okExitCodes: [0, 1] }).catch(() => undefined)
    await sleep(NODE_DELAY_MS, signal)
  }
  throw new AgentError(
    'SoftwareRAIDError',
    `the kernel shows no ${count} partitions of ${path}, though they are in its table; see dmesg`,
  )
}

async function nodesByNumber(root: Root, path: string): Promise<string[]> {
  const device = await blockDeviceAt(root, path)
  const found: { number: number; node: string }[] = []
  for (const { name, directory } of device ? await listKernelPartitions(root, device) : []) {
    const number = Number(await root.readText(`${directory}/partition`))
    found.push({ number, node: blockDevicePath(name) })
  }
  return found.sort((a, b) => a.number - b.number).map(({ node }) => node)
}
