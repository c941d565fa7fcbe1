// SPDX-License-Identifier: Apache-2.0
// Owns the kernel's nodes of a disk and its partitions, as the programs of an image are to see them; of an array also
// those of the disks it lies on. Does not mount any.
import { AgentError } from '../../core/errors.ts'
import { SYSFS_SECTOR_BYTES } from '../../core/units.ts'
import type { Exec } from '../../system/exec.ts'
import type { ImageNode } from '../../system/image-root/run-in-image.ts'
import type { Root } from '../../system/root.ts'
import { blockDeviceAt, listKernelPartitions, type SysfsBlockDevice } from '../../system/sysfs.ts'
import { settle } from '../../system/udev.ts'
import { listMemberDisks } from '../md/member-disks.ts'
import type { BootPartition } from './boot-partitions.ts'

export interface KernelNodes {
  /** Everything that belongs to the disk. */
  readonly all: readonly ImageNode[]
  /** Kernel name of a partition: `vda1`. */
  nameOf(partition: BootPartition): string
  /** Kernel names of the disks that firmware starts from: of an array those of its members. */
  readonly disks: readonly string[]
  /** The disk is an array of others. */
  readonly isArray: boolean
}

interface Deps {
  readonly exec: Exec
  readonly root: Root
}

const PARTX_TIMEOUT_MS = 30_000

/**
 * Has the kernel take up partitions it does not know. Throws DeviceNotFound where it has none at the place that the
 * table says, or where the disk is no block device.
 */
export async function findKernelNodes(
  devicePath: string,
  partitions: readonly BootPartition[],
  deps: Deps,
): Promise<KernelNodes> {
  const { exec, root } = deps
  const disk = await blockDeviceAt(root, devicePath)
  if (disk === undefined) {
    throw new AgentError('DeviceNotFound', `${devicePath} is no block device of this machine`)
  }
  let names = await namesByNumber(root, disk, partitions)
  if (names.size < partitions.length) {
    // 1: some were known before (partx(8))
    await exec(['partx', '--update', devicePath], {
      okExitCodes: [0, 1],
      timeoutMs: PARTX_TIMEOUT_MS,
    })
    await settle(exec)
    names = await namesByNumber(root, disk, partitions)
  }
  const members = await listMemberDisks(root, disk)
  const disks = members.length > 0 ? members : [disk]
  return {
    all: [
      ...(await nodesOf(root, disk, partitions, names)),
      ...(members.length > 0
        ? (await Promise.all(disks.map((one) => nodesOf(root, one, [], new Map())))).flat()
        : []),
    ],
    nameOf: ({ number }) => {
      const name = names.get(number)
      if (name !== undefined) return name
      throw new AgentError(
        'DeviceNotFound',
        `the kernel has no partition ${number} of ${devicePath} where the table says that it lies`,
      )
    },
    disks: disks.map(({ name }) => nodeName(name)),
    isArray: members.length > 0,
  }
}

/** Only those that lie where the table says: a kernel that has not read it anew goes by an older one. */
async function namesByNumber(
  root: Root,
  disk: SysfsBlockDevice,
  partitions: readonly BootPartition[],
): Promise<Map<number, string>> {
  const names = new Map<number, string>()
  for (const { name, directory } of await listKernelPartitions(root, disk)) {
    const read = async (attribute: string) =>
      Number(await root.readText(`${directory}/${attribute}`))
    const number = await read('partition')
    const { range } = partitions.find((partition) => partition.number === number) ?? {}
    if (range?.offset !== (await read('start')) * SYSFS_SECTOR_BYTES) continue
    if (range.length !== (await read('size')) * SYSFS_SECTOR_BYTES) continue
    names.set(number, nodeName(name))
  }
  return names
}

async function nodesOf(
  root: Root,
  disk: SysfsBlockDevice,
  partitions: readonly BootPartition[],
  names: ReadonlyMap<number, string>,
): Promise<ImageNode[]> {
  const known = await listKernelPartitions(root, disk)
  return [disk, ...known].map(({ name, deviceNumber }) => {
    const partition = partitions.find(({ number }) => names.get(number) === nodeName(name))
    return { name: nodeName(name), deviceNumber, links: partition ? linksOf(partition) : [] }
  })
}

/** What grub-mkconfig looks for before it writes root=UUID= into its menu. */
function linksOf({ partUuid, fileSystem: { uuid } }: BootPartition): string[] {
  return [
    `disk/by-partuuid/${partUuid}`,
    // a file system says of itself what it likes
    ...(uuid !== undefined && /^[\da-f-]{4,64}$/i.test(uuid) ? [`disk/by-uuid/${uuid}`] : []),
  ]
}

/** sysfs writes `!` for the slash of `cciss/c0d0`. */
function nodeName(name: string): string {
  return name.replaceAll('!', '/')
}
