// SPDX-License-Identifier: Apache-2.0
// Owns disks of tests as an image leaves them: a GPT by sfdisk, an ESP, a root file system of a given type, each made and
// filled by its own programs without a mount, on a loop device.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, readdir, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { createLoopDevice } from '../loop-device.ts'
import { ROOT_UUID } from './menus.ts'

const run = promisify(execFile)
const MiB = 1024 * 1024
const ESP = { startMiB: 1, sizeMiB: 40 }
const ROOT_START_MIB = 64
/** mkfs.xfs takes no less than 300 MiB, mkfs.btrfs no less than 110. */
const ROOT_MIB = { ext4: 64, xfs: 320, btrfs: 160 } as const

export type RootType = keyof typeof ROOT_MIB

export interface InstanceDiskOptions {
  readonly root: RootType
  /** By path; `-> target` is a link. */
  readonly files: Readonly<Record<string, string | Uint8Array>>
  readonly esp: Readonly<Record<string, string>>
}

export interface InstanceDisk extends AsyncDisposable {
  /** `/dev/loopN`; the ESP is partition 1, the root partition 2. */
  readonly path: string
  readonly rootOffset: number
  /** Of all its bytes. */
  sha256(): Promise<string>
}

export async function createInstanceDisk(options: InstanceDiskOptions): Promise<InstanceDisk> {
  const sizeMiB = ROOT_START_MIB + ROOT_MIB[options.root] + 2
  const loop = await createLoopDevice({ sizeBytes: sizeMiB * MiB })
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-instance-'))
  try {
    const sfdisk = run('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', loop.path])
    sfdisk.child.stdin?.end(
      `label: gpt\nstart=${ESP.startMiB}MiB,size=${ESP.sizeMiB}MiB,type=U\n` +
        `start=${ROOT_START_MIB}MiB,size=${ROOT_MIB[options.root]}MiB,type=L\n`,
    )
    await sfdisk
    const espImage = join(folder, 'esp')
    await run('truncate', ['-s', `${ESP.sizeMiB}M`, espImage])
    await run('mkfs.vfat', ['-F', '32', espImage])
    const espFolder = join(folder, 'esp.d')
    await fill(espFolder, options.esp)
    const names = await readdir(espFolder)
    if (names.length > 0) {
      const paths = names.map((name) => join(espFolder, name))
      await run('mcopy', ['-s', '-i', espImage, ...paths, '::/'])
    }
    await place(espImage, loop.path, ESP.startMiB)
    const rootFolder = join(folder, 'root.d')
    await fill(rootFolder, options.files)
    const rootImage = join(folder, 'root')
    await run('truncate', ['-s', `${ROOT_MIB[options.root]}M`, rootImage])
    await MAKERS[options.root](rootImage, rootFolder)
    await place(rootImage, loop.path, ROOT_START_MIB)
  } catch (error) {
    await loop[Symbol.asyncDispose]()
    throw error
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  return {
    path: loop.path,
    rootOffset: ROOT_START_MIB * MiB,
    sha256: async () => {
      await run('blockdev', ['--flushbufs', loop.path])
      const hash = createHash('sha256')
      for await (const chunk of createReadStream(loop.backingFile)) hash.update(chunk as Uint8Array)
      return hash.digest('hex')
    },
    [Symbol.asyncDispose]: () => loop[Symbol.asyncDispose](),
  }
}

const MAKERS: Readonly<Record<RootType, (image: string, folder: string) => Promise<unknown>>> = {
  ext4: (image, folder) =>
    run('mke2fs', ['-q', '-t', 'ext4', '-U', ROOT_UUID, '-d', folder, image]),
  btrfs: (image, folder) => run('mkfs.btrfs', ['-q', '-U', ROOT_UUID, '--rootdir', folder, image]),
  xfs: async (image, folder) => {
    const proto = `${image}.proto`
    await writeFile(proto, `/\n0 0\nd--755 0 0\n${await prototypeOf(folder)}$\n`)
    await run('mkfs.xfs', ['-q', '-m', `uuid=${ROOT_UUID}`, '-p', proto, image])
  },
}

/** What a folder holds, as mkfs.xfs(8) wants to be told. */
async function prototypeOf(folder: string): Promise<string> {
  let text = ''
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isSymbolicLink()) text += `${entry.name} l--777 0 0 ${await readlink(path)}\n`
    else if (entry.isFile()) text += `${entry.name} ---644 0 0 ${path}\n`
    else text += `${entry.name} d--755 0 0\n${await prototypeOf(path)}$\n`
  }
  return text
}

async function fill(
  folder: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const [path, content] of Object.entries(files)) {
    const at = join(folder, path)
    await mkdir(dirname(at), { recursive: true })
    if (typeof content === 'string' && content.startsWith('-> ')) {
      await symlink(content.slice('-> '.length), at)
    } else await writeFile(at, content)
  }
}

async function place(image: string, disk: string, startMiB: number): Promise<void> {
  await run('dd', [
    `if=${image}`,
    `of=${disk}`,
    'bs=1M',
    `seek=${startMiB}`,
    'conv=notrunc,sparse,fsync',
  ])
}
