// SPDX-License-Identifier: Apache-2.0
// Owns a ramdisk that makes RAID arrays on a machine's disks, by mdadm and the md driver of the kernel, and
// switches the machine off. The shipped one has neither; both come from Debian's packages.
//
//   node test/support/vm/array-maker.ts      fetches them, where there is a network
import { existsSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { file } from '../../../image-build/cpio.ts'
import {
  downloadPackages,
  firstDependency,
  resolvePackages,
  unpackPackages,
} from '../../../image-build/debian-packages.ts'
import { VARIANTS } from '../../../image-build/ramdisk/variants.ts'
import { withFiles } from './probed-ramdisk.ts'

const BUILD = join(import.meta.dirname, '../../../build')
const TOOLS = join(BUILD, 'array-maker')
const PROGRAMS = ['sbin/mdadm', 'sbin/mdmon']
const MODULES = ['md-mod.ko', 'raid1.ko']
/** Reads superblocks on this machine too. */
export const MDADM = join(TOOLS, 'mdadm')
/** What the machine says when the arrays are made and stopped. */
export const ARRAYS_MADE = 'IRONSWARM-ARRAYS MADE'

/** True if the tools were fetched; else prints what fetches them. */
export function hasArrayMaker(): boolean {
  const missing = [...PROGRAMS, ...MODULES].filter(
    (path) => !existsSync(join(TOOLS, basename(path))),
  )
  if (missing.length === 0) return true
  console.log(`skipped: ${missing.join(' ')} not fetched: node test/support/vm/array-maker.ts`)
  return false
}

/**
 * Writes an initramfs that runs `lines` of shell on the machine, with mdadm and `disk SERIAL`, which says
 * the node of the disk with that serial number; then {@link ARRAYS_MADE} appears and the machine goes off.
 * A line that fails ends it without these words.
 */
export async function makeArrayRamdisk(
  initramfs: string,
  lines: readonly string[],
  path: string,
): Promise<void> {
  const script = [
    '#!/bin/sh',
    'set -ex',
    'mkdir -p /run/mdadm',
    'modprobe virtio_pci; modprobe virtio_blk',
    ...MODULES.map((name) => `insmod /maker/${name}`),
    'sleep 2',
    'disk() { for d in /sys/block/vd*; do [ "$(cat $d/serial)" != "$1" ] || echo /dev/$(basename $d); done; }',
    ...lines,
    'sync',
    `echo ${ARRAYS_MADE}`,
    '',
  ].join('\n')
  const files = [file('maker', Buffer.from(script), 0o100755)]
  for (const name of [...PROGRAMS, ...MODULES].map((path) => basename(path))) {
    files.push(file(`tools-${name}`, await readFile(join(TOOLS, name)), 0o100755))
  }
  const boot = [
    '/bin/busybox mkdir /root/maker',
    ...MODULES.map((name) => `/bin/busybox cp /tools-${name} /root/maker/${name}`),
    ...PROGRAMS.map((path) => `/bin/busybox cp /tools-${basename(path)} /root/usr/${path}`),
    '/bin/busybox cp /maker /root/maker/run',
    '/bin/busybox chroot /root /bin/busybox sh /maker/run </dev/console >/dev/console 2>&1',
    '/bin/busybox poweroff -f',
  ]
  await writeFile(path, await withFiles(initramfs, boot, files))
}

/** The packages of the kernel that the ramdisk has. */
async function fetchTools(): Promise<void> {
  const names = ['mdadm', await firstDependency(VARIANTS.vm.kernelPackage)]
  const paths = await downloadPackages(await resolvePackages(names), join(BUILD, 'debian'))
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-arrays-'))
  try {
    await unpackPackages(paths, folder)
    const [release = ''] = await readdir(join(folder, 'lib/modules'))
    const drivers = join(folder, 'lib/modules', release, 'kernel/drivers/md')
    await mkdir(TOOLS, { recursive: true })
    for (const name of MODULES) await copyFile(join(drivers, name), join(TOOLS, name))
    for (const path of PROGRAMS) await copyFile(join(folder, path), join(TOOLS, basename(path)))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

if (import.meta.main) await fetchTools()
