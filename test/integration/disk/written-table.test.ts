import { execFile } from 'node:child_process'
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { openBlockDevice } from '../../../agent/disk/block-device.ts'
import {
  addPartition,
  fixBackupGpt,
  listPartitions,
} from '../../../agent/disk/partition-table/partitioner.ts'
import { assertPartitioned } from '../../../agent/disk/partition-table/written-table.ts'
import { exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const run = promisify(execFile)
const root = createRoot('/')
const MiB = 1024 * 1024
const IMAGE_BYTES = 32 * MiB
const canRun = hasLoopDevices('tables of written images') && hasPackages('agent')

/** A disk with an image's bytes at its beginning. Each part of the image is made by other people's tools. */
interface ImageDisk extends AsyncDisposable {
  readonly path: string
  /** An sfdisk script for a file or device whose sectors are `sectorBytes`; bytes outside of the table stay. */
  table(script: string, sectorBytes?: 512 | 4096): Promise<void>
  fileSystem(kind: 'vfat' | 'ext4', offset: number): Promise<void>
  put(offset: number, bytes: Uint8Array): Promise<void>
  get(offset: number, length: number): Promise<Buffer>
}

async function createImageDisk(sectorBytes: 512 | 4096 = 512, sizeBytes = 200 * MiB) {
  const loop = await createLoopDevice({ sizeBytes, sectorBytes })
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-table-'))
  const put = async (offset: number, bytes: Uint8Array) => {
    await using file = await open(loop.path, 'r+')
    await file.write(bytes, 0, bytes.length, offset)
    await file.sync()
  }
  const get = async (offset: number, length: number) => {
    await using file = await open(loop.path)
    const bytes = Buffer.alloc(length)
    await file.read(bytes, 0, length, offset)
    return bytes
  }
  const disk: ImageDisk = {
    path: loop.path,
    put,
    get,
    table: async (script, made = sectorBytes) => {
      await using image = await createLoopDevice({ sizeBytes: IMAGE_BYTES, sectorBytes: made })
      const running = run('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', image.path])
      running.child.stdin?.end(script)
      await running
      await using file = await open(image.path)
      for (const [offset, length] of [
        [0, MiB],
        [IMAGE_BYTES - MiB, MiB],
      ] as const) {
        const bytes = Buffer.alloc(length)
        await file.read(bytes, 0, length, offset)
        await put(offset, bytes)
      }
    },
    fileSystem: async (kind, offset) => {
      const file = join(folder, kind)
      await writeFile(file, new Uint8Array(4 * MiB))
      await run(`mkfs.${kind}`, kind === 'ext4' ? ['-q', '-F', file] : [file])
      await run('dd', [
        `if=${file}`,
        `of=${loop.path}`,
        'bs=4k',
        `seek=${offset / 4096}`,
        'conv=notrunc',
      ])
    },
    [Symbol.asyncDispose]: async () => {
      await loop[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true })
    },
  }
  return disk
}

async function judge(disk: ImageDisk) {
  await using device = await openBlockDevice(disk.path, { mode: 'write', root })
  return await assertPartitioned(device, { exec, imageBytes: IMAGE_BYTES })
}

const refusal = (words: string | RegExp) => ({
  type: 'DeploymentError',
  details: expect.stringMatching(words),
})
const sfdisk = async (path: string) =>
  JSON.parse((await run('sfdisk', ['--json', path])).stdout).partitiontable
const partedLabel = async (path: string) =>
  (await run('parted', ['-sm', path, 'print'])).stdout.split('\n')[1]?.split(':')[5]

const GPT = 'label: gpt\nstart=2048,size=8192,type=U\nstart=10240,size=20480\n'
const MBR = 'label: dos\nstart=2048,size=8192,type=ef\nstart=10240,size=20480,type=83\n'

describe.skipIf(!canRun)('an image with an MBR over an older GPT', () => {
  async function createMixed(): Promise<ImageDisk> {
    const disk = await createImageDisk()
    await disk.table('label: gpt\nstart=4096,size=4096,name=old\n')
    const gpt = await disk.get(512, 40 * 512)
    const backup = await disk.get(IMAGE_BYTES - 33 * 512, 33 * 512)
    await disk.table(MBR)
    await disk.put(512, gpt)
    await disk.put(IMAGE_BYTES - 33 * 512, backup)
    return disk
  }

  test('has the partitions of its MBR, as parted sees it, and the GPT stays as it is', async () => {
    await using disk = await createMixed()
    expect(await partedLabel(disk.path)).toBe('msdos')
    const before = await disk.get(0, MiB)
    const { label, partitions } = await judge(disk)
    expect(label).toBe('msdos')
    expect(partitions).toMatchObject([{ isEsp: true, range: { offset: MiB } }, { type: '0x83' }])
    await using device = await openBlockDevice(disk.path, { mode: 'write', root })
    expect(await fixBackupGpt(device)).toBe('no-gpt')
    expect(await disk.get(0, MiB)).toEqual(before)
  })

  test('gets the config drive into its MBR', async () => {
    await using disk = await createMixed()
    await using device = await openBlockDevice(disk.path, { mode: 'write', root })
    const added = await addPartition(device, { sizeBytes: 64 * MiB, name: 'config-2' })
    const { label, partitions } = await sfdisk(disk.path)
    expect(label).toBe('dos')
    expect(partitions[2]).toMatchObject({ start: added.range.offset / 512, type: 'c' })
  })
})

describe.skipIf(!canRun)('a table that kernel and firmware read', () => {
  test('is a hybrid one: the GPT counts and gets the config drive, the record stays', async () => {
    await using disk = await createImageDisk()
    await disk.table(GPT)
    await run('sgdisk', ['--hybrid=2', disk.path])
    const record = await disk.get(0, 512)
    expect((await judge(disk)).label).toBe('gpt')
    await using device = await openBlockDevice(disk.path, { mode: 'write', root })
    const added = await addPartition(device, { sizeBytes: 64 * MiB, name: 'config-2' })
    expect(added).toMatchObject({ number: 3, uniqueGuid: expect.any(String) })
    expect(await disk.get(0, 512)).toEqual(record)
  })

  test("is the one of an isohybrid image, whose first entry of type 0 is nobody else's", async () => {
    await using disk = await createImageDisk()
    await disk.table('label: dos\nstart=2048,size=1024,type=83\nstart=4096,size=2048,type=ef\n')
    // as xorriso and isohybrid write it: type 0, the whole image from its first sector on
    const sector = await disk.get(0, 512)
    sector.writeUInt8(0, 446 + 4)
    sector.writeUInt32LE(0, 446 + 8)
    sector.writeUInt32LE(IMAGE_BYTES / 512, 446 + 12)
    await disk.put(0, sector)
    expect((await judge(disk)).label).toBe('msdos')
    await using device = await openBlockDevice(disk.path, { mode: 'write', root })
    const added = await addPartition(device, { sizeBytes: 64 * MiB, name: 'config-2' })
    expect(added.number).toBe(3)
    expect(added.range.offset).toBeGreaterThanOrEqual(IMAGE_BYTES)
    expect(await disk.get(446, 16)).toEqual(sector.subarray(446, 462))
  })

  test('is an MBR for the sectors of a 4Kn disk, whether its file systems are known or not', async () => {
    await using disk = await createImageDisk(4096)
    await disk.table('label: dos\nstart=256,size=2048,type=83\n', 4096)
    expect((await judge(disk)).label).toBe('msdos')
    await disk.fileSystem('ext4', MiB)
    expect((await judge(disk)).label).toBe('msdos')
  })

  test('gets its backup made anew where the image lost it, though it names the end of this disk', async () => {
    await using disk = await createImageDisk(512, IMAGE_BYTES)
    await disk.table(GPT)
    await disk.put(IMAGE_BYTES - 33 * 512, new Uint8Array(33 * 512))
    await using device = await openBlockDevice(disk.path, { mode: 'write', root })
    expect(await fixBackupGpt(device)).toBe('moved')
    expect((await run('sgdisk', ['-v', disk.path])).stdout).toContain('No problems found')
    expect(await fixBackupGpt(device)).toBe('in-place')
  })
})

describe.skipIf(!canRun)('a table that nothing reads is refused', () => {
  test.each<[string, (disk: ImageDisk) => Promise<void>]>([
    ['without an entry', (disk) => disk.put(446, new Uint8Array(64))],
    ['without a boot signature', (disk) => disk.put(510, new Uint8Array(2))],
    ['that is cleared', (disk) => disk.put(0, new Uint8Array(512))],
    ['whose entry begins at LBA 2', (disk) => disk.put(446 + 8, Uint8Array.of(2))],
  ])('a GPT behind a first sector %s', async (_, spoil) => {
    await using disk = await createImageDisk()
    await disk.table(GPT)
    await spoil(disk)
    await expect(judge(disk)).rejects.toMatchObject(refusal('no entry of type 0xEE at LBA 1'))
    await using device = await openBlockDevice(disk.path, { mode: 'read', root })
    expect((await listPartitions(device)).partitions).toEqual([])
  })

  test('a first sector that leads to a GPT that is not there', async () => {
    await using disk = await createImageDisk()
    await disk.table(GPT)
    await disk.put(512, new Uint8Array(512))
    await expect(judge(disk)).rejects.toMatchObject(refusal('says that a GPT follows'))
  })

  test('a GPT whose header is broken', async () => {
    await using disk = await createImageDisk()
    await disk.table(GPT)
    await disk.put(512 + 40, Uint8Array.of(99))
    await expect(judge(disk)).rejects.toMatchObject(refusal('header CRC32'))
  })

  test.each([
    ['with a file system known at its place', true],
    ['with nothing known in it, by its end', false],
  ])('an MBR for 512-byte sectors on a 4Kn disk, %s', async (_, hasFileSystem) => {
    await using disk = await createImageDisk(4096, 1024 * MiB)
    await disk.table(
      'label: dos\nstart=2048,size=8192,type=ef\nstart=10240,size=55296,type=83\n',
      512,
    )
    if (hasFileSystem) await disk.fileSystem('vfat', MiB)
    await expect(judge(disk)).rejects.toMatchObject(refusal('an MBR for 512-byte sectors'))
  })

  test('an MBR for 4Kn sectors on a disk of 512-byte sectors', async () => {
    await using disk = await createImageDisk()
    await disk.table('label: dos\nstart=256,size=2048,type=83\n', 4096)
    await disk.fileSystem('ext4', MiB)
    await expect(judge(disk)).rejects.toMatchObject(refusal('an MBR for 4096-byte sectors'))
  })

  test.each([
    ['an MBR', 'label: dos\nstart=2048,size=40960,type=83\n', 'ends at byte'],
    ['a GPT', 'label: gpt\nstart=2048,size=40960\n', 'ends at byte'],
  ])('%s that reaches beyond the disk', async (_, script, words) => {
    await using disk = await createImageDisk(512, 16 * MiB)
    await using image = await createLoopDevice({ sizeBytes: IMAGE_BYTES })
    const running = run('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', image.path])
    running.child.stdin?.end(script)
    await running
    await run('dd', [`if=${image.path}`, `of=${disk.path}`, 'bs=1M', 'count=1', 'conv=notrunc'])
    await expect(judge(disk)).rejects.toMatchObject(refusal(words))
  })

  test.each(['ext4', 'vfat'] as const)(
    'one %s file system without a table, by its name',
    async (kind) => {
      await using disk = await createImageDisk()
      await disk.fileSystem(kind, 0)
      await expect(judge(disk)).rejects.toMatchObject(refusal(`one ${kind} file system`))
    },
  )
})
