// SPDX-License-Identifier: Apache-2.0
// Owns how an instance's initramfs comes to start arrays, be they whole or not, before it looks for its root. Does not
// put it into an image.
import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { type CpioEntry, directory, file, makeCpio } from '../../../image-build/cpio.ts'
import { recipe } from '../../../image-build/instance-files.ts'

/** Packages that {@link withArrays} finds its files in, besides the kernel's. */
export const ARRAY_PACKAGES = ['mdadm', 'libc6', 'libudev1']
/** In the order in which they can be loaded. */
const MODULES = ['md-mod', 'raid1']
const LIBRARIES = ['libc.so.6', 'libudev.so.1']
/** The line of `init` after which the drivers are there. */
const DRIVERS = /^while read -r module.*$/m

/**
 * The initramfs with mdadm and the drivers in it.
 * @param shipped compressed by zstd
 * @param unpacked a folder with the packages and the kernel
 */
export async function withArrays(shipped: Buffer, unpacked: string): Promise<Buffer> {
  const plain = zstdDecompressSync(shipped)
  const added = makeCpio(await entries(unpacked), 0)
  // a later archive's files replace those of the ones before it (early-userspace/buffer-format)
  const padding = Buffer.alloc((4 - (plain.length % 4)) % 4)
  return zstdCompressSync(Buffer.concat([plain, padding, added]))
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
    // other files of the package have its name
    file('bin/mdadm', await readFile(join(unpacked, 'sbin/mdadm')), 0o100755),
    file('lib64/ld-linux-x86-64.so.2', await read('ld-linux-x86-64.so.2'), 0o100755),
    ...(await Promise.all(
      LIBRARIES.map(async (name) => file(`lib/${name}`, await read(name), 0o100755)),
    )),
  ]
}
