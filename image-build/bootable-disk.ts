// SPDX-License-Identifier: Apache-2.0
// Owns the bootable instance image: a GPT disk with an ESP that UEFI and BIOS start a kernel from, and an
// ext4 root, made without mounting anything and with the same bytes for the same packages.
import { copyFile, open, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeExt4 } from './ext4.ts'
import { makeGpt, type NewTable, PARTITION_TYPES, SECTOR_BYTES } from './gpt.ts'
import { findKernel, listRoot, makeInitramfs, recipe } from './instance-files.ts'
import { run } from './run.ts'

const MiB = 1024 * 1024
const SECTORS_PER_MIB = MiB / SECTOR_BYTES
const ROOT_UUID = '1a04ad5e-0000-4000-8000-000000000003'
const ESP_FIRST_MIB = 1
/** FAT32 needs 65525 clusters: 36 MiB of 512-byte ones are enough. */
const ESP_MIB = 36
const ESP_VOLUME_ID = '1a04ad5e'

/** What UEFI firmware boots when no boot entry exists, and the entry a deploy agent makes from the CSV. */
const LOADERS = ['/EFI/BOOT/BOOTX64.EFI', '/EFI/ironswarm/grubx64.efi']
/** UTF-16LE with BOM, as shim's fallback reads it: file, label, arguments, comment. */
const BOOT_CSV = Buffer.from('\uFEFFgrubx64.efi,ironswarm instance,,test instance\n', 'utf16le')
const GRUB_MODULES = ['part_gpt', 'fat', 'normal', 'linux', 'echo', 'boot', 'test', 'efi_gop']

export interface DiskParts {
  /** Folder with the unpacked packages. */
  readonly unpacked: string
  readonly debPaths: readonly string[]
  readonly workFolder: string
  readonly sizeBytes: number
  /** Folders of the packages that the root goes without. */
  readonly leftOut?: readonly string[]
}

/** Makes the disk at `imagePath`. Throws with the tool's words where one of them fails. */
export async function makeBootableDisk(imagePath: string, parts: DiskParts): Promise<void> {
  const table = planTable(parts.sizeBytes)
  const root = table.partitions[1]
  if (!root) throw new Error('the table holds no root partition')
  await writeFile(imagePath, '')
  await truncate(imagePath, parts.sizeBytes)
  await fillEsp(imagePath, parts)
  const rootImage = join(parts.workFolder, 'root.ext4')
  const isLeftOut = (path: string) =>
    parts.leftOut?.some((folder) => path === folder || path.startsWith(`${folder}/`)) ?? false
  const all = await listRoot(parts.unpacked, parts.debPaths, parts.workFolder)
  const files = all.filter(({ path }) => !isLeftOut(path))
  await makeExt4(rootImage, files, {
    label: 'instance-root',
    uuid: ROOT_UUID,
    sizeBytes: root.sectors * SECTOR_BYTES,
  })
  await using disk = await open(imagePath, 'r+')
  await copyInto(disk, rootImage, root.firstSector * SECTOR_BYTES)
  const { head, tail } = makeGpt(table)
  // BIOS runs these 440 bytes; they start the partition marked as legacy bootable
  const bootCode = await readFile('/usr/lib/syslinux/mbr/gptmbr.bin')
  bootCode.copy(head, 0, 0, Math.min(bootCode.length, 440))
  await disk.write(head, 0, head.length, 0)
  await disk.write(tail, 0, tail.length, parts.sizeBytes - tail.length)
  await disk.sync()
}

function planTable(sizeBytes: number): NewTable {
  const rootFirstMib = ESP_FIRST_MIB + ESP_MIB
  // the last MiB holds the backup table
  const rootMib = Math.floor(sizeBytes / MiB) - rootFirstMib - 1
  return {
    diskGuid: '1A04AD5E-0000-4000-8000-000000000001',
    diskSectors: sizeBytes / SECTOR_BYTES,
    partitions: [
      {
        name: 'ESP',
        type: PARTITION_TYPES.esp,
        guid: '1A04AD5E-0000-4000-8000-000000000002',
        firstSector: ESP_FIRST_MIB * SECTORS_PER_MIB,
        sectors: ESP_MIB * SECTORS_PER_MIB,
        isLegacyBootable: true,
      },
      {
        name: 'instance-root',
        type: PARTITION_TYPES.linux,
        guid: ROOT_UUID,
        firstSector: rootFirstMib * SECTORS_PER_MIB,
        sectors: rootMib * SECTORS_PER_MIB,
      },
    ],
  }
}

/** Kernel, initramfs, GRUB for UEFI and SYSLINUX for BIOS, written at the partition's byte offset. */
async function fillEsp(imagePath: string, { unpacked, workFolder }: DiskParts): Promise<void> {
  const offset = ESP_FIRST_MIB * MiB
  const sector = String(offset / SECTOR_BYTES)
  // biome-ignore format: one flag and its value per pair
  await run(['mkfs.vfat', '--invariant', '-F', '32', '-s', '1', '-i', ESP_VOLUME_ID, '-n', 'ESP',
    '-h', sector, '--offset', sector, imagePath, String(ESP_MIB * 1024)])
  const sources = await writeEspSources(unpacked, workFolder)
  const esp = `${imagePath}@@${offset}`
  const env = { MTOOLS_SKIP_CHECK: '1' }
  await run(['mmd', '-i', esp, '::/EFI', '::/EFI/BOOT', '::/EFI/ironswarm'], { env })
  for (const [target, source] of sources) {
    await run(['mcopy', '-i', esp, source, `::${target}`], { env })
  }
  await run(['syslinux', '--install', '--offset', String(offset), imagePath], { env })
}

async function writeEspSources(unpacked: string, workFolder: string): Promise<[string, string][]> {
  const at = (name: string) => join(workFolder, name)
  // biome-ignore format: one flag and its value per pair
  await run(['grub-mkimage', '-O', 'x86_64-efi', '-p', '/EFI/BOOT', '-o', at('grubx64.efi'),
    ...GRUB_MODULES])
  await copyFile(await findKernel(unpacked), at('vmlinuz'))
  await writeFile(at('initrd.zst'), await makeInitramfs(unpacked))
  await writeFile(at('BOOTX64.CSV'), BOOT_CSV)
  await writeFile(at('grub.cfg'), await recipe('grub.cfg', ROOT_UUID))
  await writeFile(at('syslinux.cfg'), await recipe('syslinux.cfg', ROOT_UUID))
  return [
    ['/vmlinuz', at('vmlinuz')],
    ['/initrd.zst', at('initrd.zst')],
    ['/syslinux.cfg', at('syslinux.cfg')],
    ['/EFI/BOOT/grub.cfg', at('grub.cfg')],
    ...LOADERS.map((path): [string, string] => [path, at('grubx64.efi')]),
    ['/EFI/ironswarm/BOOTX64.CSV', at('BOOTX64.CSV')],
  ]
}

async function copyInto(
  disk: Awaited<ReturnType<typeof open>>,
  sourcePath: string,
  offset: number,
): Promise<void> {
  await using source = await open(sourcePath)
  const buffer = Buffer.alloc(4 * MiB)
  for (let at = 0; ; ) {
    const { bytesRead } = await source.read(buffer, 0, buffer.length, at)
    if (bytesRead === 0) return
    await disk.write(buffer, 0, bytesRead, offset + at)
    at += bytesRead
  }
}
