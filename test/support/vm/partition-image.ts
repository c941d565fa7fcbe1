// SPDX-License-Identifier: Apache-2.0
// Owns a partition image that boots once its own GRUB is installed: one ext4 with a Debian's GRUB, a kernel, and the
// start scripts of the instance image, which start arrays too. It has no boot code and no ESP.
//
//   node test/support/vm/partition-image.ts      makes it, where there is a network
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import {
  downloadPackages,
  firstDependency,
  resolvePackages,
  unpackPackages,
} from '../../../image-build/debian-packages.ts'
import { findKernel, makeInitramfs, recipe } from '../../../image-build/instance-files.ts'
import { createDebianRoot } from '../image-root/debian-root.ts'
import { ROOT_FS_UUID } from '../image-root/written-disk.ts'
import { ARRAY_PACKAGES, withArrays } from './array-initramfs.ts'

const run = promisify(execFile)
const BUILD = join(import.meta.dirname, '../../../build')
const SIZE = '192M'
export const PARTITION_IMAGE = join(BUILD, 'partition-image.ext4')

/** True if the image was made; else prints what makes it. */
export function hasPartitionImage(): boolean {
  if (existsSync(PARTITION_IMAGE)) return true
  console.log('skipped: no partition image: node test/support/vm/partition-image.ts')
  return false
}

async function makePartitionImage(path: string): Promise<void> {
  const kernelFolder = `${path}.kernel`
  await using root = await createDebianRoot()
  try {
    const names = [
      ...['busybox-static', ...ARRAY_PACKAGES],
      await firstDependency('linux-image-cloud-amd64'),
    ]
    const packages = await downloadPackages(await resolvePackages(names), join(BUILD, 'debian'))
    await unpackPackages(packages, kernelFolder)
    const kernel = await findKernel(kernelFolder)
    const release = basename(kernel).slice('vmlinuz-'.length)
    await run('sh', ['-c', `rm ${root.folder}/boot/vmlinuz-* ${root.folder}/boot/initrd.img-*`])
    await copyFile(kernel, join(root.folder, 'boot', basename(kernel)))
    // each of these starts programs by the dozen, which take minutes in a machine without KVM
    for (const name of ['05_debian_theme', '20_linux_xen', '30_os-prober', '30_uefi-firmware']) {
      await rm(join(root.folder, 'etc/grub.d', name), { force: true })
    }
    const files: Record<string, string | Buffer> = {
      [`boot/initrd.img-${release}`]: await withArrays(
        await makeInitramfs(kernelFolder),
        kernelFolder,
      ),
      'etc/default/grub': [
        'GRUB_TIMEOUT=0',
        // these machines have no screen, and GRUB waits for one
        'GRUB_TERMINAL=serial',
        'GRUB_SERIAL_COMMAND="serial --speed=115200"',
        'GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"',
        '',
      ].join('\n'),
      'etc/fstab': `UUID=${ROOT_FS_UUID} / ext4 defaults 0 1\n`,
      'etc/group': 'root:x:0:\n',
      'etc/hostname': 'partition-image\n',
      'etc/inittab': await recipe('inittab'),
      'etc/passwd': 'root::0:0:root:/root:/bin/sh\n',
      'etc/rc': `${await recipe('rc')}cat /etc/fstab\n`,
    }
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(root.folder, name)), { recursive: true })
      await writeFile(join(root.folder, name), content, { mode: 0o755 })
    }
    await copyFile(join(kernelFolder, 'bin/busybox'), join(root.folder, 'bin/busybox'))
    await mkdir(join(root.folder, 'root'), { recursive: true })
    await mkdir(join(root.folder, 'sbin'), { recursive: true })
    // GRUB asks it for the name of an array
    await copyFile(join(kernelFolder, 'sbin/mdadm'), join(root.folder, 'sbin/mdadm'))
    await symlink('busybox', join(root.folder, 'bin/login'))
    await symlink('/bin/busybox', join(root.folder, 'sbin/init'))
    await rm(path, { force: true })
    await run('mke2fs', ['-q', '-t', 'ext4', '-U', ROOT_FS_UUID, '-d', root.folder, path, SIZE])
  } finally {
    await rm(kernelFolder, { recursive: true, force: true })
  }
}

if (import.meta.main) await makePartitionImage(PARTITION_IMAGE)
