// SPDX-License-Identifier: Apache-2.0
// Owns disks of tests as a partition image leaves them: a table by sfdisk, an ext4 with given files in it by mke2fs,
// on a loop device. Looks at them with debugfs, without mounting.
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createLoopDevice } from '../loop-device.ts'

const run = promisify(execFile)
const MiB = 1024 * 1024

export const ROOT_FS_UUID = 'e2d6ea51-0000-4000-8000-000000000001'

export interface WrittenDiskOptions {
  readonly label: 'gpt' | 'dos'
  /** Of sfdisk, one a partition: `start=1MiB,size=8MiB,type=U`. */
  readonly partitions: readonly string[]
  /** 1-based; where the root file system goes, and how large it is, MiB. */
  readonly root: { readonly startMiB: number; readonly sizeMiB: number; readonly folder: string }
  readonly diskMiB: number
}

export interface WrittenDisk extends AsyncDisposable {
  /** `/dev/loopN`. */
  readonly path: string
  /** Kernel name of a partition: `loop0p1`. */
  nameOf(number: number): string
  /** Text of a file of the root file system; undefined where there is none. */
  readRoot(path: string): Promise<string | undefined>
  /** What `e2fsck -fn` says of the root file system; rejects for an error. */
  checkRoot(): Promise<void>
  /** Mounts of the disk in any namespace of this machine, as `pid mount point`. */
  mounts(): Promise<string[]>
}

export async function createWrittenDisk(options: WrittenDiskOptions): Promise<WrittenDisk> {
  const loop = await createLoopDevice({ sizeBytes: options.diskMiB * MiB })
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-written-'))
  const { startMiB, sizeMiB } = options.root
  const copy = join(folder, 'root')
  try {
    const sfdisk = run('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', loop.path])
    sfdisk.child.stdin?.end(`label: ${options.label}\n${options.partitions.join('\n')}\n`)
    await sfdisk
    await run('truncate', ['-s', `${sizeMiB}M`, copy])
    await run('mke2fs', ['-q', '-t', 'ext4', '-U', ROOT_FS_UUID, '-d', options.root.folder, copy])
    await run('dd', [
      `if=${copy}`,
      `of=${loop.path}`,
      'bs=1M',
      `seek=${startMiB}`,
      'conv=notrunc,sparse',
    ])
    await truncate(copy, 0)
  } catch (error) {
    await loop[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
    throw error
  }
  const extract = async () => {
    await run('blockdev', ['--flushbufs', loop.path])
    await run('dd', [
      `if=${loop.path}`,
      `of=${copy}`,
      'bs=1M',
      `skip=${startMiB}`,
      `count=${sizeMiB}`,
    ])
    return copy
  }
  return {
    path: loop.path,
    nameOf: (number) => `${loop.path.slice('/dev/'.length)}p${number}`,
    readRoot: async (path) => {
      const { stdout, stderr } = await run('debugfs', ['-R', `cat ${path}`, await extract()])
      return stderr.includes('not found') ? undefined : stdout
    },
    checkRoot: async () => {
      await run('e2fsck', ['-fn', await extract()])
    },
    mounts: () => mountsOf(loop.path.slice('/dev/'.length)),
    [Symbol.asyncDispose]: async () => {
      await loop[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function mountsOf(disk: string): Promise<string[]> {
  const found: string[] = []
  // loop1p1 is of loop1, loop10 is not
  const isOfDisk = new RegExp(` /dev/${disk}(p\\d+)? `)
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    const table = await readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => '')
    for (const line of table.split('\n')) {
      if (isOfDisk.test(line)) found.push(`${pid} ${line.split(' ')[4]}`)
    }
  }
  return found
}
