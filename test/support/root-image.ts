// SPDX-License-Identifier: Apache-2.0
// Owns small partition images for tests: one ext4 file system with files in it, no partition table.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type DiskImage, describeImage } from './disk-image.ts'

const run = promisify(execFile)
const MiB = 1024 * 1024

/** UUID of the file system in every such image. */
export const ROOT_UUID = 'e2d6ea51-0000-4000-8000-000000000001'

/** An ext4 of `sizeBytes` with /etc/os-release and a file of noise; nothing is mounted. */
export async function makeRootImage(path: string, sizeBytes: number): Promise<DiskImage> {
  const tree = await mkdtemp(join(tmpdir(), 'ironswarm-root-'))
  try {
    await mkdir(join(tree, 'etc'))
    await writeFile(join(tree, 'etc/os-release'), 'ID=test\n')
    await writeFile(join(tree, 'noise'), randomBytes(2 * MiB))
    await writeFile(path, '')
    await truncate(path, sizeBytes)
    await run('mkfs.ext4', ['-q', '-F', '-L', 'root', '-U', ROOT_UUID, '-d', tree, path])
    return await describeImage(path)
  } finally {
    await rm(tree, { recursive: true, force: true })
  }
}
