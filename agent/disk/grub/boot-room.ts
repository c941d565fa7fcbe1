// SPDX-License-Identifier: Apache-2.0
// Owns where a GRUB is to be installed to: the ESP of the disk, or the mirror of ESPs of an array, whose members get a
// BIOS boot partition each for BIOS (contract 5.5). Does not run GRUB.
import type { ImageNode } from '../../system/image-root/run-in-image.ts'
import { blockDeviceAt } from '../../system/sysfs.ts'
import type { UefiBootloaderRequest } from '../bootloader.ts'
import { ensureBootPartitions } from '../md/boot-partition.ts'
import { mirrorEsp } from '../md/esp-mirror.ts'
import { isSoftwareArray, listMemberDisks } from '../md/member-disks.ts'
import type { BootPartition, BootPartitions } from './boot-partitions.ts'

export interface GrubEsp {
  /** Where its FAT lies: on the disk, or at the beginning of a mirror. */
  readonly path: string
  readonly offset: number
  /** Its first word in fstab. */
  readonly inFstab: string
  /** Of the disk itself. */
  readonly partition: BootPartition
  /** What the image's programs are to mount in the place of that partition. */
  readonly mirror: ImageNode | undefined
}

/**
 * Room on the members of an array, where the disk is one; and the ESP, undefined where the disk has none.
 * @throws what mirrorEsp and ensureBootPartitions throw
 */
export async function makeRoom(
  request: UefiBootloaderRequest,
  { esp: partition }: BootPartitions,
  isUefi: boolean,
): Promise<GrubEsp | undefined> {
  const { root, devicePath } = request
  const isArray = await isSoftwareArray(root, devicePath)
  if (isArray && !isUefi) await makeBiosRoom(request)
  if (!isUefi || partition === undefined) return undefined
  if (isArray) return await mirrored(request, partition)
  return {
    path: devicePath,
    offset: partition.range.offset,
    inFstab: nameInFstab(partition.fileSystem.uuid, partition),
    partition,
    mirror: undefined,
  }
}

async function makeBiosRoom({ exec, root, devicePath, signal }: UefiBootloaderRequest) {
  const array = await blockDeviceAt(root, devicePath)
  const disks = array === undefined ? [] : await listMemberDisks(root, array)
  const deps = { exec, root, signal: signal ?? new AbortController().signal }
  await ensureBootPartitions(disks, 'bios', deps)
}

async function mirrored(
  request: UefiBootloaderRequest,
  partition: BootPartition,
): Promise<GrubEsp> {
  const { path, fileSystem } = await mirrorEsp(request)
  const device = await blockDeviceAt(request.root, path)
  return {
    path,
    offset: 0,
    inFstab: nameInFstab(fileSystem.uuid, partition),
    partition,
    mirror: {
      name: path.slice('/dev/'.length),
      deviceNumber: device?.deviceNumber ?? '',
      links: [],
    },
  }
}

function nameInFstab(uuid: string | undefined, { partUuid }: BootPartition): string {
  return uuid ? `UUID=${uuid}` : `PARTUUID=${partUuid}`
}
