// SPDX-License-Identifier: Apache-2.0
// Owns disks that hang: loop devices over files on a file system of their own, which is frozen (fsfreeze(8)). Writes
// then wait in the kernel, uninterruptibly, until it is thawed. Needs root, loop devices and ext4.
import { execFile, execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createLoopDevice, detachLoop } from './loop-device.ts'

const run = promisify(execFile)

export interface FreezingDisks extends AsyncDisposable {
  readonly paths: readonly string[]
  /** From now on every write hangs. */
  freeze(): Promise<void>
  /** The same before it returns: for whoever must not let the next turn begin. */
  freezeNow(): void
  /** What hung goes on. */
  thaw(): Promise<void>
}

/** `count` disks of `sizeBytes` on one file system. Disposal thaws first. */
export async function createFreezingDisks(
  count: number,
  sizeBytes: number,
): Promise<FreezingDisks> {
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-freezing-'))
  const mountPoint = join(folder, 'mounted')
  await mkdir(mountPoint)
  const holder = await createLoopDevice({ sizeBytes: count * sizeBytes + 64 * 1024 * 1024 })
  await run('mkfs.ext4', ['-q', holder.path])
  await run('mount', [holder.path, mountPoint])
  const paths: string[] = []
  const fileOf = (index: number) => join(mountPoint, `disk${index}`)
  for (let i = 0; i < count; i++) {
    const file = fileOf(i)
    await writeFile(file, '')
    await truncate(file, sizeBytes)
    // past the page cache: a write is done when the file system has taken it
    paths.push((await run('losetup', ['--find', '--show', '--direct-io=on', file])).stdout.trim())
  }
  let isFrozen = false
  const thaw = async () => {
    if (isFrozen) await run('fsfreeze', ['--unfreeze', mountPoint])
    isFrozen = false
  }
  return {
    paths,
    freeze: async () => {
      await run('fsfreeze', ['--freeze', mountPoint])
      isFrozen = true
    },
    freezeNow: () => {
      execFileSync('fsfreeze', ['--freeze', mountPoint])
      isFrozen = true
    },
    thaw,
    [Symbol.asyncDispose]: async () => {
      await thaw()
      for (const [i, path] of paths.entries()) await detachLoop(path, fileOf(i))
      await run('umount', [mountPoint])
      await holder[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
