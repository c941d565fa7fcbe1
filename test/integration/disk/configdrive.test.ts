import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, open, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { type BlockDevice, openBlockDevice } from '../../../agent/disk/block-device.ts'
import {
  type WrittenConfigDrive,
  writeConfigDrive,
} from '../../../agent/disk/configdrive/configdrive.ts'
import { inMemory } from '../../../agent/disk/configdrive/decode.ts'
import { readIsoTree } from '../../../agent/disk/configdrive/iso9660.ts'
import { exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const root = createRoot('/')

const run = promisify(execFile)
const MiB = 1024 * 1024
const canRun = hasLoopDevices('config drives on disks') && hasPackages('agent')
const LONG_NAME =
  'a name with spaces that goes well beyond the sixty-four characters Joliet has.txt'

interface Sample extends AsyncDisposable {
  /** Makes an ISO as Ironic's conductor does, unless told otherwise. */
  iso(...options: string[]): Promise<Uint8Array>
  vfat(label: string, sectorBytes?: number): Promise<Uint8Array>
}

const IRONIC_OPTIONS = '-ldots -allow-lowercase -allow-multidot -l -publisher ironic -J -r'.split(
  ' ',
)

async function createSample(): Promise<Sample> {
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-configdrive-test-'))
  const tree = join(folder, 'tree')
  await mkdir(join(tree, 'openstack/latest'), { recursive: true })
  await mkdir(join(tree, 'openstack/content'), { recursive: true })
  await writeFile(join(tree, 'openstack/latest/meta_data.json'), '{"uuid":"1234"}')
  await writeFile(join(tree, 'openstack/latest', LONG_NAME), 'long')
  await writeFile(join(tree, 'openstack/content/0000'), Buffer.alloc(70_000, 'content '))
  await writeFile(join(tree, 'openstack/empty'), '')
  await symlink('/etc/hostname', join(tree, 'openstack/latest/link'))
  let count = 0
  return {
    iso: async (...options) => {
      const path = join(folder, `iso${count++}`)
      const wanted = options.length > 0 ? options : IRONIC_OPTIONS
      await run('genisoimage', ['-quiet', '-V', 'config-2', '-o', path, ...wanted, tree])
      return await readFile(path)
    },
    vfat: async (label, sectorBytes = 512) => {
      const path = join(folder, `vfat${count++}`)
      await run('mkfs.vfat', ['-n', label, '-S', String(sectorBytes), '-C', path, '8192'])
      await run('mcopy', ['-s', '-i', path, join(tree, 'openstack'), '::/'])
      return await readFile(path)
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

async function writeTable(path: string, script: string): Promise<void> {
  const running = run('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', path])
  running.child.stdin?.end(script)
  await running
}

async function put(path: string, image: Uint8Array, rebuild = false): Promise<WrittenConfigDrive> {
  await using device = await openBlockDevice(path, { mode: 'write', root })
  return await writeConfigDrive({ device, image: inMemory(image), exec, rebuild })
}

async function bytesAt(path: string, offset: number, length: number): Promise<Buffer> {
  await using handle = await open(path)
  const { buffer } = await handle.read(Buffer.alloc(length), 0, length, offset)
  return buffer
}

async function blkid(path: string, offset: number): Promise<string> {
  return (await run('blkid', ['-p', '-O', String(offset), '-o', 'export', path])).stdout
}

/** The content of a file in a FAT file system, by mtools. */
async function fatFile(path: string, offset: number, name: string): Promise<string> {
  const { stdout } = await run('mtype', ['-i', `${path}@@${offset}`, `::/${name}`])
  return stdout
}

describe.skipIf(!canRun)('a config drive', () => {
  test.each(['gpt', 'dos'])(
    'goes into a new partition of 64 MiB at the end of a %s disk',
    async (label) => {
      await using sample = await createSample()
      await using loop = await createLoopDevice({ sizeBytes: 200 * MiB })
      await writeTable(loop.path, `label: ${label}\nstart=2048,size=8192\n`)
      const image = await sample.iso()
      const { partition, isNewPartition, isRebuilt } = await put(loop.path, image)
      expect({ isNewPartition, isRebuilt }).toEqual({ isNewPartition: true, isRebuilt: false })
      expect(partition.range.offset).toBeGreaterThan(130 * MiB)
      const seen = await bytesAt(loop.path, partition.range.offset, image.length)
      expect(Buffer.compare(seen, image)).toBe(0)
      expect(await blkid(loop.path, partition.range.offset)).toContain('LABEL=config-2')
    },
  )

  test('overwrites the partition the image has for it, whatever the case of its label', async () => {
    await using sample = await createSample()
    await using loop = await createLoopDevice({ sizeBytes: 64 * MiB })
    await writeTable(loop.path, 'label: gpt\nstart=2048,size=8192\nstart=20480,size=40960\n')
    const old = await sample.vfat('CONFIG-2')
    await using handle = await open(loop.path, 'r+')
    await handle.write(old, 0, old.length, 20480 * 512)
    await handle.sync()
    const image = await sample.iso()
    const { partition, isNewPartition } = await put(loop.path, image)
    expect(isNewPartition).toBe(false)
    expect(partition.number).toBe(2)
    expect(Buffer.compare(await bytesAt(loop.path, 20480 * 512, image.length), image)).toBe(0)
    // a second deploy finds the partition again
    expect((await put(loop.path, image)).partition.number).toBe(2)
  })

  test('finds its partition though the medium does not show it yet', async () => {
    await using sample = await createSample()
    await using loop = await createLoopDevice({ sizeBytes: 64 * MiB })
    await writeTable(loop.path, 'label: gpt\nstart=2048,size=8192\nstart=128000,size=2048\n')
    const image = await sample.iso()
    await using device = await openBlockDevice(loop.path, { mode: 'write', root })
    const staged: BlockDevice = {
      ...device,
      read: async (offset, target) => {
        await device.read(offset, target)
        if (offset === 128_000 * 512) target.set(image)
      },
    }
    const { partition, isNewPartition } = await writeConfigDrive({
      device: staged,
      image: inMemory(image),
      exec,
    })
    expect(isNewPartition).toBe(false)
    expect(partition.number).toBe(2)
  })

  test('is refused when two partitions ask for it', async () => {
    await using sample = await createSample()
    await using loop = await createLoopDevice({ sizeBytes: 64 * MiB })
    await writeTable(loop.path, 'label: gpt\nstart=2048,size=20480\nstart=22528,size=20480\n')
    const image = await sample.iso()
    await using handle = await open(loop.path, 'r+')
    await handle.write(image, 0, image.length, 2048 * 512)
    await handle.write(image, 0, image.length, 22528 * 512)
    await handle.sync()
    await expect(put(loop.path, image)).rejects.toMatchObject({
      type: 'DeploymentError',
      details: expect.stringContaining('2 partitions labelled config-2 (1, 2)'),
    })
  })

  test('that does not fit the partition of the image is refused', async () => {
    await using sample = await createSample()
    await using loop = await createLoopDevice({ sizeBytes: 64 * MiB })
    await writeTable(loop.path, 'label: gpt\nstart=2048,size=1024\n')
    const image = await sample.iso()
    await using handle = await open(loop.path, 'r+')
    await handle.write(image, 0, image.length, 2048 * 512)
    await handle.sync()
    const larger = Buffer.concat([image, Buffer.alloc(MiB)])
    await expect(put(loop.path, larger)).rejects.toMatchObject({
      type: 'DeploymentError',
      details: expect.stringContaining('partition 1'),
    })
  })

  test('becomes vfat on a disk with 4096-byte sectors, which cannot take ISO 9660', async () => {
    await using sample = await createSample()
    await using loop = await createLoopDevice({ sizeBytes: 200 * MiB, sectorBytes: 4096 })
    await writeTable(loop.path, 'label: gpt\nstart=256,size=1024\n')
    const { partition, isRebuilt } = await put(loop.path, await sample.iso())
    expect(isRebuilt).toBe(true)
    const { offset } = partition.range
    const probed = await blkid(loop.path, offset)
    expect(probed).toContain('TYPE=vfat')
    expect(probed).toContain('LABEL=CONFIG-2')
    expect((await bytesAt(loop.path, offset, 512)).readUInt16LE(11)).toBe(4096)
    expect(await fatFile(loop.path, offset, 'openstack/latest/meta_data.json')).toBe(
      '{"uuid":"1234"}',
    )
    expect(await fatFile(loop.path, offset, `openstack/latest/${LONG_NAME}`)).toBe('long')
    expect(await fatFile(loop.path, offset, 'openstack/content/0000')).toHaveLength(70_000)
    expect(await fatFile(loop.path, offset, 'openstack/empty')).toBe('')
    // a link out of the config drive must not bring a file of the ramdisk to the instance
    await expect(fatFile(loop.path, offset, 'openstack/latest/link')).rejects.toThrow()
  })

  test('a vfat of 512-byte sectors is rebuilt for 4096-byte ones, one of 4096 is taken as it is', async () => {
    await using sample = await createSample()
    await using loop = await createLoopDevice({ sizeBytes: 200 * MiB, sectorBytes: 4096 })
    await writeTable(loop.path, 'label: gpt\nstart=256,size=1024\n')
    const rebuilt = await put(loop.path, await sample.vfat('config-2'))
    expect(rebuilt.isRebuilt).toBe(true)
    const { offset } = rebuilt.partition.range
    expect(await fatFile(loop.path, offset, 'openstack/latest/meta_data.json')).toBe(
      '{"uuid":"1234"}',
    )
    expect((await put(loop.path, await sample.vfat('config-2', 4096))).isRebuilt).toBe(false)
  })

  test('is rebuilt on request on any disk', async () => {
    await using sample = await createSample()
    await using loop = await createLoopDevice({ sizeBytes: 200 * MiB })
    await writeTable(loop.path, 'label: gpt\nstart=2048,size=8192\n')
    const { partition, isRebuilt } = await put(loop.path, await sample.iso(), true)
    expect(isRebuilt).toBe(true)
    expect(await blkid(loop.path, partition.range.offset)).toContain('LABEL=CONFIG-2')
  })

  test('that is neither ISO 9660 nor FAT cannot be rebuilt', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 200 * MiB })
    await writeTable(loop.path, 'label: gpt\nstart=2048,size=8192\n')
    await expect(put(loop.path, Buffer.alloc(MiB, 'x'), true)).rejects.toMatchObject({
      type: 'DeploymentError',
      details: expect.stringContaining('neither ISO 9660 nor FAT'),
    })
  })

  test.each([
    ['Joliet and Rock Ridge', IRONIC_OPTIONS, `openstack/latest/${LONG_NAME}`],
    ['Rock Ridge alone', ['-r'], `openstack/latest/${LONG_NAME}`],
    ['Joliet alone', ['-J', '-joliet-long'], `openstack/latest/${LONG_NAME}`],
    ['ISO 9660 alone', ['-l'], 'openstack/latest/a_name_with_spaces_that_goe.txt'],
  ])('the names of an ISO with %s are read', async (_, options, longName) => {
    await using sample = await createSample()
    const tree = readIsoTree(await sample.iso(...options))
    const files = tree.map(({ path, bytes }) => [path, bytes?.length ?? null])
    expect(files).toEqual(
      expect.arrayContaining([
        ['openstack', null],
        ['openstack/latest', null],
        ['openstack/content/0000', 70_000],
        ['openstack/empty', 0],
        [longName, 4],
      ]),
    )
    expect(files.some(([path]) => String(path).endsWith('/link'))).toBe(false)
  })
})
