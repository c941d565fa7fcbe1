// SPDX-License-Identifier: Apache-2.0
// Owns the file systems of a written disk as a boot loader sees them: by partition, opened when they are asked for, closed
// together. Does not know menus.
/// <reference lib="esnext.disposable" />
import type { FileHandle } from 'node:fs/promises'
import { isAgentError, messageOf } from '../../core/errors.ts'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import { openBlockDevice } from '../block-device.ts'
import { type ProbedFileSystem, probeFileSystem } from '../file-system-probe.ts'
import type { DeviceGeometry } from '../geometry.ts'
import { listLogicalPartitions } from '../partition-table/logical.ts'
import { listPartitions, type Partition } from '../partition-table/partitioner.ts'
import { cannotFollow, type ImageFile } from './boot-entry.ts'
import { openFatTree } from './fat-tree.ts'
import type { MenuDisk } from './grub-menu/place.ts'
import { createImageTree, type ImageTree } from './image-tree.ts'
import { MOUNTS, mountTree } from './mounted-tree.ts'

export interface ImagePartition extends Partition {
  readonly fileSystem: ProbedFileSystem
}

export interface ImageDisk extends MenuDisk, AsyncDisposable {
  readonly partitions: readonly ImagePartition[]
  /** Those that can be read here. */
  readonly readable: readonly ImagePartition[]
  /** What a menu or a kernel may lie in unseen, in words: `LVM on partition 2`; empty where all was looked at. */
  readonly unseen: string
  /** Throws InvalidImage. */
  copy(
    file: ImageFile,
    target: FileHandle,
    position: number,
    maxBytes: number,
    signal: AbortSignal,
  ): Promise<number>
}

export interface ImageDiskDeps {
  readonly exec: Exec
  readonly root: Root
  readonly signal: AbortSignal
}

/** What people call things that are not read here, by blkid's names. */
const CONTAINERS: ReadonlyMap<string, string> = new Map([
  ['LVM2_member', 'LVM'],
  ['crypto_LUKS', 'an encrypted volume'],
  ['linux_raid_member', 'a member of a RAID array'],
  ['zfs_member', 'ZFS'],
])
/** Of a table; a stranger's may have thousands. */
const MOST_PARTITIONS = 32

/** Throws InvalidImage for a disk without a table, DeviceNotFound, BlockDeviceError. */
export async function openImageDisk(devicePath: string, deps: ImageDiskDeps): Promise<ImageDisk> {
  const { partitions, leftOut, geometry } = await readPartitions(devicePath, deps)
  const readable = partitions.filter(({ fileSystem: { type = '' } }) => isReadable(type))
  const trees = new Trees({ ...deps, devicePath, geometry, partitions, readable })
  return {
    partitions,
    readable,
    unseen: unseenOf(partitions, leftOut),
    search: async (key, value) => {
      if (key === 'file') {
        for (const { number } of readable) {
          if (await (await trees.of(number)).kindOf(value)) return number
        }
        return undefined
      }
      const isWanted = ({ fileSystem: { uuid, label } }: ImagePartition) =>
        key === 'uuid' ? uuid?.toLowerCase() === value.toLowerCase() : label === value
      return partitions.find(isWanted)?.number
    },
    readText: async ({ partition, path }, most) => (await trees.of(partition)).readText(path, most),
    kindOf: async ({ partition, path }) => (await trees.of(partition)).kindOf(path),
    list: async ({ partition, path }) => (await trees.of(partition)).list(path),
    copy: async ({ partition, path }, ...rest) => (await trees.of(partition)).copy(path, ...rest),
    [Symbol.asyncDispose]: () => trees[Symbol.asyncDispose](),
  }
}

interface TreesDeps extends Pick<ImageDiskDeps, 'exec' | 'signal'> {
  readonly devicePath: string
  readonly geometry: DeviceGeometry
  readonly partitions: readonly ImagePartition[]
  readonly readable: readonly ImagePartition[]
}

/** The file systems by the numbers of their partitions, each opened when it is first asked for. */
class Trees implements AsyncDisposable {
  readonly #deps: TreesDeps
  readonly #open = new Map<number, Promise<ImageTree>>()
  readonly #mounted = new AsyncDisposableStack()

  constructor(deps: TreesDeps) {
    this.#deps = deps
  }

  /** Throws InvalidImage for one that cannot be read here. */
  of(number: number): Promise<ImageTree> {
    const known = this.#open.get(number)
    if (known !== undefined) return known
    const { partitions, readable } = this.#deps
    const partition = readable.find((each) => each.number === number)
    if (partition === undefined) {
      throw cannotFollow(whatIsOn(partitions, number) ?? `there is no partition ${number}`)
    }
    const opened = this.#openTree(partition)
    this.#open.set(number, opened)
    return opened
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#mounted.disposeAsync()
  }

  async #openTree({ range, fileSystem: { type = '' } }: ImagePartition): Promise<ImageTree> {
    const { exec, devicePath, geometry: disk, signal } = this.#deps
    try {
      if (type === 'vfat') {
        return createImageTree(await openFatTree(exec, devicePath, range.offset, signal))
      }
      const mounted = await mountTree({ exec, disk, range, type, signal })
      return createImageTree(this.#mounted.use(mounted))
    } catch (error) {
      if (isAgentError(error, 'InvalidImage')) throw error
      throw cannotFollow(`its ${type} file system cannot be read: ${messageOf(error)}`)
    }
  }
}

async function readPartitions(devicePath: string, { exec, root }: ImageDiskDeps) {
  await using device = await openBlockDevice(devicePath, { mode: 'read', root })
  const table = await listPartitions(device)
  if (table.label === null) throw cannotFollow('the disk has no partition table')
  const logical = table.label === 'msdos' ? await listLogicalPartitions(device) : []
  const partitions: ImagePartition[] = []
  const all = [...table.partitions, ...logical]
  for (const partition of all.slice(0, MOST_PARTITIONS)) {
    const fileSystem = await probeFileSystem(exec, device, partition.range)
    partitions.push({ ...partition, fileSystem })
  }
  const leftOut = all.length - partitions.length
  return { partitions, leftOut, geometry: device.geometry }
}

function isReadable(type: string): boolean {
  return type === 'vfat' || MOUNTS.has(type)
}

/** Nobody starts from swap; what blkid knows nothing of, such as a BIOS boot partition, holds no files. */
export function unseenOf(
  partitions: readonly Pick<ImagePartition, 'number' | 'fileSystem'>[],
  leftOut: number,
): string {
  return [
    ...partitions.flatMap(({ number }) => whatIsOn(partitions, number) ?? []),
    ...(leftOut > 0 ? [`${leftOut} partitions beyond ${MOST_PARTITIONS}, which are not read`] : []),
  ].join(', ')
}

function whatIsOn(
  partitions: readonly Pick<ImagePartition, 'number' | 'fileSystem'>[],
  number: number,
): string | undefined {
  const type = partitions.find((partition) => partition.number === number)?.fileSystem.type ?? ''
  if (type === '' || type === 'swap' || isReadable(type)) return undefined
  return `${CONTAINERS.get(type) ?? type} on partition ${number}, which is not read here`
}
