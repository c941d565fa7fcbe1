// SPDX-License-Identifier: Apache-2.0
// Owns which of the image's menus counts, as firmware and boot loaders would have it: systemd-boot, GRUB, entries without
// either, kernels by their names. A menu that is there and is not understood ends the search: what it would start is not
// guessed.
import { messageOf } from '../../core/errors.ts'
import { type BootEntry, cannotFollow, type ImageFile, withBoundedLine } from './boot-entry.ts'
import { followMenu } from './grub-menu/follow-menu.ts'
import type { ImageDisk } from './image-disk.ts'
import { findByNames } from './kernel-names.ts'
import { type BlsFolder, chooseBlsEntry } from './systemd-boot.ts'

/** Extended boot loader partition (Boot Loader Specification). */
const XBOOTLDR_TYPE = 'bc13c2ff-59e6-4262-a352-b275fd6f7172'
/** `/@`: where Ubuntu has its root on btrfs. */
const GRUB_MENUS = [
  ...['/boot/grub/grub.cfg', '/boot/grub2/grub.cfg', '/grub/grub.cfg', '/grub2/grub.cfg'],
  ...['/@/boot/grub/grub.cfg', '/@/boot/grub2/grub.cfg'],
]

export interface FoundKernel extends BootEntry {
  /** Where it was read, for people: `/boot/grub/grub.cfg on partition 2`. */
  readonly from: string
}

/** Throws InvalidImage, which says why the instance cannot be started without firmware; BlockDeviceError. */
export async function findKernel(disk: ImageDisk, firmware: 'uefi' | 'bios'): Promise<FoundKernel> {
  return withBoundedLine(await findEntry(disk, firmware))
}

async function findEntry(disk: ImageDisk, firmware: 'uefi' | 'bios'): Promise<FoundKernel> {
  const menu = await findGrubMenu(disk, firmware)
  if ((firmware === 'uefi' || menu === undefined) && (await hasSystemdBoot(disk))) {
    const entry = await chooseBlsEntry(foldersOfSystemdBoot(disk), disk)
    if (entry) return { ...entry, from: 'loader/entries of systemd-boot' }
  }
  if (menu !== undefined) {
    const from = `${menu.path} on partition ${menu.partition}`
    try {
      return { ...(await followMenu(menu, disk, firmware)), from }
    } catch (error) {
      throw cannotFollow(`${from}: ${messageOf(error).replace(/^Error with the image: /, '')}`)
    }
  }
  const folders = [...foldersOfSystemdBoot(disk), ...otherFolders(disk)]
  const entry = await chooseBlsEntry(folders, disk)
  if (entry) return { ...entry, from: 'loader/entries' }
  if (disk.unseen !== '') {
    throw cannotFollow(
      `no menu was found; there is ${disk.unseen}, so names of files are not gone by`,
    )
  }
  const named = await findByNames(
    disk.readable.map(({ number, fileSystem: { uuid } }) => ({ partition: number, uuid })),
    disk,
  )
  if (named) return { ...named, from: 'names of files' }
  throw cannotFollow('no menu and no kernel was found')
}

/** The partitions that systemd-boot reads. */
function foldersOfSystemdBoot({ readable }: ImageDisk): BlsFolder[] {
  return readable.filter(isBoot).map(({ number }) => ({ partition: number, at: '' }))
}

function otherFolders({ readable }: ImageDisk): BlsFolder[] {
  return readable
    .filter((partition) => !isBoot(partition))
    .flatMap(({ number }) => ['/boot', ''].map((at) => ({ partition: number, at })))
}

function isBoot({ isEsp, type }: ImageDisk['readable'][number]): boolean {
  return isEsp || type === XBOOTLDR_TYPE
}

async function hasSystemdBoot(disk: ImageDisk): Promise<boolean> {
  for (const { number, isEsp } of disk.readable) {
    if (!isEsp) continue
    const names = await disk.list({ partition: number, path: '/EFI/systemd' })
    if (names.some((name) => /^systemd-boot.*\.efi$/i.test(name))) return true
  }
  return false
}

/** Under UEFI GRUB begins with the file beside itself on the ESP; the one below /boot is where that leads to. */
async function findGrubMenu(
  disk: ImageDisk,
  firmware: 'uefi' | 'bios',
): Promise<ImageFile | undefined> {
  const onEsp = await listEspMenus(disk)
  if (firmware === 'uefi' && onEsp.length > 0) return theOnly(onEsp)
  return (await theMenuBelowBoot(disk)) ?? (onEsp.length > 0 ? theOnly(onEsp) : undefined)
}

/** Which of two partitions the boot loader was installed for is not written where it can be read. Throws InvalidImage. */
async function theMenuBelowBoot(disk: ImageDisk): Promise<ImageFile | undefined> {
  const found: ImageFile[] = []
  for (const path of GRUB_MENUS) {
    for (const { number } of disk.readable) {
      const file = { partition: number, path }
      if ((await disk.kindOf(file)) === 'file') found.push(file)
    }
  }
  const [first] = found
  if (found.every(({ partition }) => partition === first?.partition)) return first
  const places = found.map(({ path, partition }) => `${path} on partition ${partition}`).join(', ')
  throw cannotFollow(`several partitions have a menu: ${places}`)
}

async function listEspMenus(disk: ImageDisk): Promise<ImageFile[]> {
  const found: ImageFile[] = []
  for (const { number, isEsp } of disk.readable) {
    if (!isEsp) continue
    for (const name of await disk.list({ partition: number, path: '/EFI' })) {
      const file = { partition: number, path: `/EFI/${name}/grub.cfg` }
      if ((await disk.kindOf(file)) === 'file') found.push(file)
    }
  }
  return found
}

/** A vendor's own before the one in BOOT, which is a copy for firmware that has forgotten its entries. */
function theOnly(menus: readonly ImageFile[]): ImageFile | undefined {
  const vendors = menus.filter(({ path }) => !/^\/EFI\/BOOT\//i.test(path))
  if (vendors.length <= 1) return vendors[0] ?? menus[0]
  const names = vendors.map(({ path }) => path).join(', ')
  throw cannotFollow(`the ESP has the menus of several systems: ${names}`)
}
