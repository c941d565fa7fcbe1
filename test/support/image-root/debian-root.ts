// SPDX-License-Identifier: Apache-2.0
// Owns a small Debian with its own GRUB, for BIOS and UEFI, unpacked from packages: what a partition image has. It
// has no kernel that starts; only its name is there.
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import {
  downloadPackages,
  resolvePackages,
  unpackPackages,
} from '../../../image-build/debian-packages.ts'

const run = promisify(execFile)
const CACHE = join(import.meta.dirname, '../../../build/debian')

const PACKAGES = [
  'base-files',
  'coreutils',
  'dash',
  'debianutils',
  'gettext-base',
  'grep',
  'grub-common',
  'grub-efi-amd64-bin',
  'grub-pc-bin',
  'grub2-common',
  'libacl1',
  'libattr1',
  'libblkid1',
  'libc6',
  'libcap2',
  'libdevmapper1.02.1',
  'libefiboot1',
  'libefivar1',
  'libgcc-s1',
  'libgmp10',
  'libkmod2',
  'liblzma5',
  'libpcre2-8-0',
  'libselinux1',
  'libssl3',
  'libudev1',
  'libzstd1',
  'mawk',
  'sed',
  // grub-install asks udevadm where a partition begins
  'udev',
]

export interface DebianRoot extends AsyncDisposable {
  readonly folder: string
}

export async function createDebianRoot(): Promise<DebianRoot> {
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-debian-'))
  try {
    const paths = await downloadPackages(await resolvePackages(PACKAGES), CACHE)
    await unpackPackages(paths, folder)
    for (const name of [
      'usr/share/doc',
      'usr/share/man',
      'usr/lib/udev/hwdb.d',
      'lib/udev/hwdb.d',
    ]) {
      await rm(join(folder, name), { recursive: true, force: true })
    }
    // what packages' scripts would have done
    await run('ln', ['-sf', 'dash', join(folder, 'bin/sh')])
    await run('ln', ['-sf', 'mawk', join(folder, 'usr/bin/awk')])
    await run('ldconfig', ['-r', folder])
    for (const name of ['etc/default', 'boot', 'dev', 'proc', 'sys', 'run', 'tmp']) {
      await mkdir(join(folder, name), { recursive: true })
    }
    await writeFile(
      join(folder, 'etc/default/grub'),
      'GRUB_TIMEOUT=0\nGRUB_CMDLINE_LINUX="quiet"\n',
    )
    await writeFile(join(folder, 'boot/vmlinuz-6.1.0-1-amd64'), '')
    await writeFile(join(folder, 'boot/initrd.img-6.1.0-1-amd64'), '')
    return {
      folder,
      [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
    }
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}
