import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { openBlockDevice } from '../../../agent/disk/block-device.ts'
import { readGeometry } from '../../../agent/disk/geometry.ts'
import { parseMbr } from '../../../agent/disk/partition-table/mbr.ts'
import {
  addPartition,
  bootRanges,
  eraseMetadata,
  fixBackupGpt,
  listPartitions,
} from '../../../agent/disk/partition-table/partitioner.ts'
import { assertPartitioned } from '../../../agent/disk/partition-table/written-table.ts'
import { exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const root = createRoot('/')

const run = promisify(execFile)
const MiB = 1024 * 1024
const canRun = hasLoopDevices('partition tables on disks') && hasPackages('agent')

async function sfdisk(path: string, script: string): Promise<void> {
  const running = run('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', path])
  running.child.stdin?.end(script)
  await running
}

/** Puts the table of a 32 MiB image on the first sectors of a larger disk, backup in the middle. */
async function writeSmallImage(
  path: string,
  sectorBytes: 512 | 4096,
  script: string,
): Promise<void> {
  await using image = await createLoopDevice({ sizeBytes: 32 * MiB, sectorBytes })
  await sfdisk(image.path, script)
  await run('dd', [`if=${image.path}`, `of=${path}`, 'bs=1M', 'oflag=direct'])
}

const verify = async (path: string) => (await run('sgdisk', ['-v', path])).stdout
const dump = async (path: string) =>
  JSON.parse((await run('sfdisk', ['--json', path])).stdout).partitiontable

describe.skipIf(!canRun)('the partitioner', () => {
  describe.each([512, 4096] as const)('on %i-byte sectors', (sectorBytes) => {
    const perMiB = MiB / sectorBytes
    const gptScript = `label: gpt\nstart=${perMiB},size=${8 * perMiB},type=U,name=ESP\nstart=${9 * perMiB},size=${8 * perMiB},type=L,name=root\n`

    test('moves the backup GPT to the end of the disk: sgdisk finds no problem', async () => {
      await using loop = await createLoopDevice({ sizeBytes: 200 * MiB, sectorBytes })
      await writeSmallImage(loop.path, sectorBytes, gptScript)
      expect(await verify(loop.path)).toContain("it doesn't reside")
      const before = await dump(loop.path)
      {
        await using device = await openBlockDevice(loop.path, { mode: 'write', root })
        expect(await fixBackupGpt(device)).toBe('moved')
        expect(await fixBackupGpt(device)).toBe('in-place')
        const sector = new Uint8Array(sectorBytes)
        await device.read(0, sector)
        const protective = { firstLba: 1, sectorCount: 200 * perMiB - 1 }
        expect(parseMbr(sector)?.partitions).toMatchObject([protective])
      }
      expect(await verify(loop.path)).toContain('No problems found')
      const after = await dump(loop.path)
      expect(after.partitions).toEqual(before.partitions)
      expect(after.id).toBe(before.id)
    })

    test('adds a config-drive partition at the end of a GPT disk', async () => {
      await using loop = await createLoopDevice({ sizeBytes: 200 * MiB, sectorBytes })
      await writeSmallImage(loop.path, sectorBytes, gptScript)
      await using device = await openBlockDevice(loop.path, { mode: 'write', root })
      const added = await addPartition(device, { sizeBytes: 64 * MiB, name: 'config-2' })
      expect(added.number).toBe(3)
      expect(added.range.length).toBeGreaterThanOrEqual(64 * MiB)
      expect(added.range.length).toBeLessThan(66 * MiB)
      expect(added.range.offset % MiB).toBe(0)
      expect(await verify(loop.path)).toContain('No problems found')
      const table = await dump(loop.path)
      expect(table.partitions[2]).toMatchObject({
        start: added.range.offset / sectorBytes,
        size: added.range.length / sectorBytes,
        type: '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
        uuid: added.uniqueGuid?.toUpperCase(),
        name: 'config-2',
      })
      expect((await listPartitions(device)).partitions[2]).toEqual(added)
    })

    test('adds a primary partition at the end of an MBR disk', async () => {
      await using loop = await createLoopDevice({ sizeBytes: 200 * MiB, sectorBytes })
      const script = `label: dos\nlabel-id: 0x1a2b3c4d\nstart=${perMiB},size=${8 * perMiB},type=83,bootable\n`
      await writeSmallImage(loop.path, sectorBytes, script)
      await using device = await openBlockDevice(loop.path, { mode: 'write', root })
      expect(await fixBackupGpt(device)).toBe('no-gpt')
      const added = await addPartition(device, { sizeBytes: 64 * MiB, name: 'config-2' })
      expect(added.range).toEqual({ offset: 136 * MiB, length: 64 * MiB })
      const table = await dump(loop.path)
      expect(table).toMatchObject({ label: 'dos', id: '0x1a2b3c4d' })
      expect(table.partitions).toMatchObject([
        { start: perMiB, type: '83', bootable: true },
        { start: 136 * perMiB, size: 64 * perMiB, type: 'c' },
      ])
    })

    test('after erasing, no tool finds a table, and the bytes in between are untouched', async () => {
      await using loop = await createLoopDevice({ sizeBytes: 40 * MiB, sectorBytes })
      await sfdisk(loop.path, gptScript)
      await using device = await openBlockDevice(loop.path, { mode: 'write', root })
      const mark = new Uint8Array(20).fill(0xab)
      await device.write(MiB, mark)
      await device.write(39 * MiB - 20, mark)
      await eraseMetadata(device)
      expect(await listPartitions(device)).toEqual({ label: null, partitions: [] })
      expect((await run('blkid', ['-p', loop.path]).catch((error) => error)).code).toBe(2)
      const fixed = await run('sgdisk', ['-p', loop.path]).catch((error) => error)
      expect(fixed.stdout).toContain('Creating new GPT entries')
      const seen = new Uint8Array(20)
      await device.read(39 * MiB - 20, seen)
      expect(seen).toEqual(mark)
      await device.read(MiB, seen)
      expect(seen).toEqual(mark)
    })
  })

  test('uses a gap in the middle when the end of the disk is taken', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 100 * MiB })
    await sfdisk(loop.path, 'label: gpt\nstart=2048,size=2048\nstart=161792,size=38912\n')
    await using device = await openBlockDevice(loop.path, { mode: 'write', root })
    const added = await addPartition(device, { sizeBytes: 64 * MiB, name: 'config-2' })
    expect(added.range).toEqual({ offset: 15 * MiB, length: 64 * MiB })
    expect(await verify(loop.path)).toContain('No problems found')
  })

  test('a full disk is a DeploymentError that says so', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 100 * MiB })
    await sfdisk(loop.path, 'label: gpt\nstart=2048\n')
    await using device = await openBlockDevice(loop.path, { mode: 'write', root })
    await expect(addPartition(device, { sizeBytes: 64 * MiB, name: 'x' })).rejects.toMatchObject({
      type: 'DeploymentError',
      details: expect.stringContaining('no free 64.0 MiB'),
    })
  })

  test('four primary partitions leave no place for a fifth', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 200 * MiB })
    const rows = [1, 2, 3, 4].map((i) => `start=${i * 2048},size=2048,type=83\n`)
    await sfdisk(loop.path, `label: dos\n${rows.join('')}`)
    await using device = await openBlockDevice(loop.path, { mode: 'write', root })
    await expect(addPartition(device, { sizeBytes: 64 * MiB, name: 'x' })).rejects.toMatchObject({
      type: 'DeploymentError',
      details: expect.stringContaining('4 primary'),
    })
  })

  test('a table that does not fit the disk is refused, not cut', async () => {
    await using image = await createLoopDevice({ sizeBytes: 40 * MiB })
    await sfdisk(image.path, 'label: gpt\nstart=2048\n')
    await using loop = await createLoopDevice({ sizeBytes: 32 * MiB })
    await run('dd', [`if=${image.path}`, `of=${loop.path}`, 'bs=1M', 'count=32', 'oflag=direct'])
    await using device = await openBlockDevice(loop.path, { mode: 'write', root })
    await expect(fixBackupGpt(device)).rejects.toMatchObject({
      type: 'BlockDeviceError',
      details: expect.stringContaining('too small'),
    })
  })

  test('an image for 512-byte sectors on a 4Kn disk is named as such', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 64 * MiB, sectorBytes: 4096 })
    await writeSmallImage(loop.path, 512, 'label: gpt\nstart=2048\n')
    await using device = await openBlockDevice(loop.path, { mode: 'write', root })
    await expect(assertPartitioned(device, { exec, imageBytes: 32 * MiB })).rejects.toMatchObject({
      type: 'DeploymentError',
      details: expect.stringContaining('a GPT for 512-byte sectors'),
    })
  })

  test('bytes that are no disk image are a DeploymentError', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 8 * MiB })
    await using device = await openBlockDevice(loop.path, { mode: 'write', root })
    await expect(assertPartitioned(device, { exec, imageBytes: 32 * MiB })).rejects.toMatchObject({
      type: 'DeploymentError',
    })
  })

  test('the kernel learns of an added partition while the disk is open', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 100 * MiB })
    await sfdisk(loop.path, 'label: gpt\nstart=2048,size=2048\n')
    await using device = await openBlockDevice(loop.path, { mode: 'write', root })
    const added = await addPartition(device, { sizeBytes: 64 * MiB, name: 'config-2' })
    await exec(['partx', '--update', loop.path])
    const { sizeBytes } = await readGeometry(root, `${loop.path}p2`)
    expect(sizeBytes).toBe(added.range.length)
  })

  test('boot ranges of a tiny disk do not overlap or leave it', () => {
    const geometry = {
      path: 'x',
      logicalSectorBytes: 512,
      physicalSectorBytes: 512,
      isBlockDevice: false,
    }
    expect(bootRanges({ ...geometry, sizeBytes: 1000 })).toEqual([{ offset: 0, length: 1000 }])
    expect(bootRanges({ ...geometry, sizeBytes: MiB + 5 })).toEqual([
      { offset: 0, length: MiB },
      { offset: MiB, length: 5 },
    ])
  })
})
