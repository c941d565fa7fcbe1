// SPDX-License-Identifier: Apache-2.0
// Owns the partition that firmware starts from on a disk that is a member of an array: an ESP, or GRUB's BIOS boot
// partition, in the room that was left before the first member (contract 5.5, 7.5). Does not fill it.
import { sleep, throwIfAborted } from '../../core/deadline.ts'
import { AgentError } from '../../core/errors.ts'
import { endOf } from '../../core/extent.ts'
import { formatBytes, MiB, SYSFS_SECTOR_BYTES } from '../../core/units.ts'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import {
  blockDeviceAt,
  blockDevicePath,
  listKernelPartitions,
  type SysfsBlockDevice,
} from '../../system/sysfs.ts'
import { settle } from '../../system/udev.ts'
import { openBlockDevice } from '../block-device.ts'
import { BIOS_BOOT_TYPE, ESP_TYPE } from '../partition-table/gpt.ts'
import { listPartitions, type Partition } from '../partition-table/partitioner.ts'

export interface BootPartitionDeps {
  readonly exec: Exec
  readonly root: Root
  readonly signal: AbortSignal
}

export interface MemberBootPartition {
  /** `/dev/sda`. */
  readonly disk: string
  readonly number: number
  /** `/dev/sda3`. */
  readonly node: string
  readonly sizeBytes: number
}

/** Sizes and names are ironic-python-agent's; `code` is sgdisk's word for the type. */
const KINDS = {
  esp: { type: ESP_TYPE, code: 'ef00', sizeBytes: 550 * MiB, name: 'uefi-holder', mode: 'uefi' },
  bios: {
    type: BIOS_BOOT_TYPE,
    code: 'ef02',
    sizeBytes: 2 * MiB,
    name: 'bios-boot-part',
    mode: 'bios',
  },
} as const

/** Behind the table and whatever lies beside it. */
const FIRST_BYTE = MiB
const TABLE_TIMEOUT_MS = 60_000
const NODE_ATTEMPTS = 20
const NODE_DELAY_MS = 500

/**
 * The partition of that kind on each disk, in their order: the one that is there, else a new one. A disk with an MBR has
 * none for GRUB, which lies between table and first partition there.
 * @throws DeploymentError where a disk has no table or no room; ProcessError; BlockDeviceError
 */
export async function ensureBootPartitions(
  disks: readonly SysfsBlockDevice[],
  kind: keyof typeof KINDS,
  deps: BootPartitionDeps,
): Promise<MemberBootPartition[]> {
  const found: MemberBootPartition[] = []
  for (const [i, disk] of disks.entries()) {
    const partition = await ensureOne(blockDevicePath(disk.name), kind, i, deps)
    if (partition !== undefined) found.push(partition)
  }
  return found
}

async function ensureOne(
  path: string,
  kind: keyof typeof KINDS,
  index: number,
  deps: BootPartitionDeps,
): Promise<MemberBootPartition | undefined> {
  const { type, code, sizeBytes, name } = KINDS[kind]
  const { partitions, label, sectorBytes } = await tableOf(path, deps.root)
  if (label === 'msdos' && kind === 'bios') return undefined
  const known = partitions.find((partition) => partition.type === type)
  if (known !== undefined) return await withNode(path, known, deps)
  const first = Math.min(...partitions.map(({ range }) => range.offset))
  if (label !== 'gpt' || first < FIRST_BYTE + sizeBytes) throw noRoom(path, kind, label, first)
  const number = freeNumber(partitions)
  const [start, end] = [FIRST_BYTE / sectorBytes, (FIRST_BYTE + sizeBytes) / sectorBytes - 1]
  // its warning that the kernel goes by the old table is true: members are in use
  const argv = [
    'sgdisk',
    `--new=${number}:${start}:${end}`,
    `--typecode=${number}:${code}`,
  ] as const
  await deps.exec([...argv, `--change-name=${number}:${name}-${index}`, path], {
    signal: deps.signal,
    timeoutMs: TABLE_TIMEOUT_MS,
  })
  const added = (await tableOf(path, deps.root)).partitions.find((each) => each.number === number)
  if (added?.range.offset === FIRST_BYTE && endOf(added.range) === FIRST_BYTE + sizeBytes)
    return await withNode(path, added, deps)
  throw new AgentError(
    'DeploymentError',
    `sgdisk has put no partition of ${formatBytes(sizeBytes)} at 1 MiB of ${path}; see sgdisk --verify`,
  )
}

async function tableOf(path: string, root: Root) {
  await using device = await openBlockDevice(path, { mode: 'read', root })
  const { label, partitions } = await listPartitions(device)
  return { label, partitions, sectorBytes: device.geometry.logicalSectorBytes }
}

function freeNumber(partitions: readonly Partition[]): number {
  const taken = new Set(partitions.map(({ number }) => number))
  let number = 1
  while (taken.has(number)) number++
  return number
}

function noRoom(
  path: string,
  kind: keyof typeof KINDS,
  label: string | null,
  first: number,
): AgentError {
  const { mode, sizeBytes } = KINDS[kind]
  const why =
    label === null
      ? 'it has no partition table'
      : label === 'msdos'
        ? 'its table is an MBR'
        : `its first partition begins at ${formatBytes(first)}`
  return new AgentError(
    'DeploymentError',
    `${path} is a member of the root array and has no room for ${formatBytes(sizeBytes)} that starting by ${mode} ` +
      `takes: ${why}; make the arrays anew for a node with the capability boot_mode:${mode}`,
  )
}

/** Has the kernel take up the one partition: it cannot read a table anew while members are in use. */
async function withNode(
  disk: string,
  partition: Partition,
  { exec, root, signal }: BootPartitionDeps,
): Promise<MemberBootPartition> {
  const { number, range } = partition
  for (let attempt = 1; attempt <= NODE_ATTEMPTS; attempt++) {
    throwIfAborted(signal)
    await settle(exec)
    const node = await nodeOf(root, disk, partition)
    if (node !== undefined) return { disk, number, node, sizeBytes: range.length }
    // 1: it was known by then (partx(8))
    const argv = ['partx', '--add', '--nr', String(number), disk] as const
    await exec(argv, { signal, okExitCodes: [0, 1] }).catch(() => undefined)
    await sleep(NODE_DELAY_MS, signal)
  }
  throw new AgentError(
    'DeploymentError',
    `the kernel shows no partition ${number} of ${disk} where its table says that it lies; see dmesg and partx --show`,
  )
}

/** Only one that lies where the table says: a kernel that has not read it anew goes by an older one. */
async function nodeOf(
  root: Root,
  disk: string,
  { number, range }: Partition,
): Promise<string | undefined> {
  const device = await blockDeviceAt(root, disk)
  for (const { name, directory } of device ? await listKernelPartitions(root, device) : []) {
    const read = async (attribute: string) =>
      Number(await root.readText(`${directory}/${attribute}`))
    if ((await read('partition')) !== number) continue
    if ((await read('start')) * SYSFS_SECTOR_BYTES !== range.offset) continue
    if ((await read('size')) * SYSFS_SECTOR_BYTES === range.length) return blockDevicePath(name)
  }
  return undefined
}
