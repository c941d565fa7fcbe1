// SPDX-License-Identifier: Apache-2.0
// Owns the whole-disk image that starts from an array: the small instance image, whose initramfs starts arrays too, be
// they whole or not. Its loaders lie on its ESP, as they do in any other image.
//
//   node test/support/vm/raid-image.ts      makes it, where there is a network
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { type CpioEntry, directory, file, makeCpio } from '../../../image-build/cpio.ts'
import {
  downloadPackages,
  firstDependency,
  resolvePackages,
  unpackPackages,
} from '../../../image-build/debian-packages.ts'
import { recipe } from '../../../image-build/instance-files.ts'
import { SMALL_IMAGE } from './ironic-lab.ts'

const run = promisify(execFile)
const BUILD = join(import.meta.dirname, '../../../build')
export const RAID_IMAGE = join(BUILD, 'instance-image-raid.raw')
/** Where the ESP of the small image begins, as mtools takes it. */
const ESP = '@@1M'
const INITRAMFS = '::/initrd.zst'
/** In the order in which they can be loaded. */
const MODULES = ['md-mod', 'raid1']
const LIBRARIES = ['libc.so.6', 'libudev.so.1']
/** The line of `init` after which the drivers are there. */
const DRIVERS = /^while read -r module.*$/m

/** True if the image was made; else prints what makes it. */
export function hasRaidImage(): boolean {
  if (existsSync(RAID_IMAGE)) return true
  console.log('skipped: no image for arrays: node test/support/vm/raid-image.ts')
  return false
}

async function makeRaidImage(path: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-raid-image-'))
  const partial = `${path}.partial`
  try {
    const names = ['mdadm', 'libc6', 'libudev1', await firstDependency('linux-image-cloud-amd64')]
    const packages = await downloadPackages(await resolvePackages(names), join(BUILD, 'debian'))
    await unpackPackages(packages, join(folder, 'root'))
    await copyFile(SMALL_IMAGE, partial)
    const initramfs = join(folder, 'initrd.zst')
    await mtools('mcopy', '-i', `${partial}${ESP}`, INITRAMFS, initramfs)
    const shipped = zstdDecompressSync(await readFile(initramfs))
    const added = makeCpio(await entries(join(folder, 'root')), 0)
    // a later archive's files replace those of the ones before it (early-userspace/buffer-format)
    const padding = Buffer.alloc((4 - (shipped.length % 4)) % 4)
    await writeFile(initramfs, zstdCompressSync(Buffer.concat([shipped, padding, added])))
    await mtools('mcopy', '-D', 'o', '-i', `${partial}${ESP}`, initramfs, INITRAMFS)
    await rename(partial, path)
  } finally {
    await rm(folder, { recursive: true, force: true })
    await rm(partial, { force: true })
  }
}

async function mtools(program: string, ...args: string[]): Promise<void> {
  await run(program, args, { env: { ...process.env, MTOOLS_SKIP_CHECK: '1' } })
}

async function entries(unpacked: string): Promise<CpioEntry[]> {
  const found = new Map<string, string>()
  for (const path of await readdir(unpacked, { recursive: true }))
    found.set(basename(path), join(unpacked, path))
  const read = async (name: string) => await readFile(found.get(name) ?? name)
  const init = await recipe('init')
  if (!DRIVERS.test(init)) throw new Error("the instance's init loads no drivers")
  const lines = [
    ...MODULES.map((name) => `insmod /modules/${name}.ko`),
    'mkdir -p /run/mdadm /dev/md',
    // a device may be there a moment after its driver
    'sleep 2',
    'mdadm --assemble --scan --run',
    'cat /proc/mdstat',
  ]
  return [
    file('init', Buffer.from(init.replace(DRIVERS, `$&\n${lines.join('\n')}`)), 0o100755),
    ...(await Promise.all(
      MODULES.map(async (name) => file(`modules/${name}.ko`, await read(`${name}.ko`))),
    )),
    directory('lib64'),
    directory('lib'),
    file('bin/mdadm', await read('mdadm'), 0o100755),
    file('lib64/ld-linux-x86-64.so.2', await read('ld-linux-x86-64.so.2'), 0o100755),
    ...(await Promise.all(
      LIBRARIES.map(async (name) => file(`lib/${name}`, await read(name), 0o100755)),
    )),
  ]
}

if (import.meta.main) await makeRaidImage(RAID_IMAGE)
