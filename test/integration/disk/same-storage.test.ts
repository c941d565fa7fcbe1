import { execFile } from 'node:child_process'
import { link, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { assertApart } from '../../../agent/disk/same-storage.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'

const run = promisify(execFile)
const MiB = 1024 * 1024
const root = createRoot('/')
const canRun = hasLoopDevices('sources that are their own target')

/** A loop device with two partitions, a second loop device, and a folder for other names. */
async function createStorage() {
  const disk = await createLoopDevice({ sizeBytes: 32 * MiB })
  const other = await createLoopDevice({ sizeBytes: 8 * MiB })
  const sfdisk = run('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', disk.path])
  sfdisk.child.stdin?.end('label: dos\nstart=2048,size=8192\nstart=10240,size=8192\n')
  await sfdisk
  await run('partx', ['--update', disk.path])
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-same-'))
  const loops: string[] = []
  return {
    disk,
    other,
    folder,
    loopOver: async (path: string, ...flags: string[]) => {
      const { stdout } = await run('losetup', ['--find', '--show', ...flags, path])
      loops.push(stdout.trim())
      return stdout.trim()
    },
    [Symbol.asyncDispose]: async () => {
      for (const loop of loops) await run('losetup', ['--detach', loop])
      await disk[Symbol.asyncDispose]()
      await other[Symbol.asyncDispose]()
      await rm(folder, { recursive: true })
    },
  }
}

type Lab = Awaited<ReturnType<typeof createStorage>>

describe.runIf(canRun)('an image', () => {
  test.each<[string, (lab: Lab) => Promise<[source: string, target: string]>]>([
    ['is the target', async ({ disk }) => [disk.path, disk.path]],
    ['is the file behind the target', async ({ disk }) => [disk.backingFile, disk.path]],
    ['is a loop device over the target file', async ({ disk }) => [disk.path, disk.backingFile]],
    ['is a partition of the target', async ({ disk }) => [`${disk.path}p1`, disk.path]],
    [
      'is the disk whose partition is the target',
      async ({ disk }) => [disk.path, `${disk.path}p2`],
    ],
    [
      'is the file of the disk whose partition is the target',
      async ({ disk }) => [disk.backingFile, `${disk.path}p2`],
    ],
    [
      'is the target by a symlink',
      async ({ disk, folder }) => {
        await symlink(disk.path, join(folder, 'name'))
        return [join(folder, 'name'), disk.path]
      },
    ],
    [
      'is the target by a device node of its own',
      async ({ disk, folder }) => {
        const { stdout } = await run('stat', ['-c', '%Hr %Lr', disk.path])
        const [major = '', minor = ''] = stdout.trim().split(' ')
        await run('mknod', [join(folder, 'node'), 'b', major, minor])
        return [join(folder, 'node'), disk.path]
      },
    ],
    [
      'is a hard link of the target file',
      async ({ folder }) => {
        await writeFile(join(folder, 'a'), 'image')
        await link(join(folder, 'a'), join(folder, 'b'))
        return [join(folder, 'b'), join(folder, 'a')]
      },
    ],
    [
      'is a loop device over the file that is behind the target, too',
      async ({ disk, loopOver }) => [await loopOver(disk.backingFile), disk.path],
    ],
    [
      'is a loop device over the target',
      async ({ disk, loopOver }) => [await loopOver(disk.path, '--read-only'), disk.path],
    ],
    [
      'is a loop device over a partition of the target',
      async ({ disk, loopOver }) => [await loopOver(`${disk.path}p1`, '--read-only'), disk.path],
    ],
    [
      'lies on a file system of the target',
      async ({ other, folder }) => {
        await run('mkfs.ext4', ['-q', other.path])
        await run('mount', [other.path, folder])
        try {
          await writeFile(join(folder, 'image'), 'image')
          await assertApart(root, join(folder, 'image'), other.path)
        } finally {
          await run('umount', [folder])
        }
        return ['/nowhere', other.path]
      },
    ],
  ])('that %s is refused', async (_, arrange) => {
    await using lab = await createStorage()
    const refused = (async () => {
      const [source, target] = await arrange(lab)
      await assertApart(root, source, target)
    })()
    await expect(refused).rejects.toMatchObject({
      type: 'TargetInUseError',
      details: expect.stringContaining('would destroy'),
    })
  })

  test.each<[string, (lab: Lab) => Promise<[source: string, target: string]>]>([
    ['is another disk', async ({ disk, other }) => [other.path, disk.path]],
    [
      'is another partition of the same disk',
      async ({ disk }) => [`${disk.path}p1`, `${disk.path}p2`],
    ],
    [
      'is a file beside the one behind the target',
      async ({ disk, other }) => [other.backingFile, disk.path],
    ],
    [
      'is a file beside the target file',
      async ({ disk, other }) => [other.backingFile, disk.backingFile],
    ],
    ['does not exist', async ({ disk }) => ['/nowhere/image', disk.path]],
  ])('that %s may be written', async (_, arrange) => {
    await using lab = await createStorage()
    await assertApart(root, ...(await arrange(lab)))
  })
})
