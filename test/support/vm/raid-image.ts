// SPDX-License-Identifier: Apache-2.0
// Owns the whole-disk image that starts from an array: the small instance image, whose initramfs starts arrays too, be
// they whole or not. Its loaders lie on its ESP, as they do in any other image.
//
//   node test/support/vm/raid-image.ts      makes it, where there is a network
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import {
  downloadPackages,
  firstDependency,
  resolvePackages,
  unpackPackages,
} from '../../../image-build/debian-packages.ts'
import { ARRAY_PACKAGES, withArrays } from './array-initramfs.ts'
import { SMALL_IMAGE } from './ironic-lab.ts'

const run = promisify(execFile)
const BUILD = join(import.meta.dirname, '../../../build')
export const RAID_IMAGE = join(BUILD, 'instance-image-raid.raw')
/** Where the ESP of the small image begins, as mtools takes it. */
const ESP = '@@1M'
const INITRAMFS = '::/initrd.zst'

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
    const names = [...ARRAY_PACKAGES, await firstDependency('linux-image-cloud-amd64')]
    const packages = await downloadPackages(await resolvePackages(names), join(BUILD, 'debian'))
    await unpackPackages(packages, join(folder, 'root'))
    await copyFile(SMALL_IMAGE, partial)
    const initramfs = join(folder, 'initrd.zst')
    await mtools('mcopy', '-i', `${partial}${ESP}`, INITRAMFS, initramfs)
    await writeFile(initramfs, await withArrays(await readFile(initramfs), join(folder, 'root')))
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

if (import.meta.main) await makeRaidImage(RAID_IMAGE)
