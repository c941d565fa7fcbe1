import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { createRoot } from '../../../agent/system/root.ts'
import {
  blockDeviceAt,
  findBlockDevice,
  formatDeviceNumber,
  listHolders,
  listKernelPartitions,
  readQueueNumber,
  readSizeBytes,
} from '../../../agent/system/sysfs.ts'

/** A 4Kn NVMe disk with one partition that is part of an md array, as sysfs lays it out. */
async function createSysfs() {
  const path = await mkdtemp(join(tmpdir(), 'ironswarm-sysfs-'))
  const disk = join(path, 'sys/devices/pci0000:00/nvme/nvme0/nvme0n1')
  await mkdir(join(disk, 'queue'), { recursive: true })
  await mkdir(join(disk, 'holders'))
  await mkdir(join(disk, 'nvme0n1p1/holders/md127'), { recursive: true })
  await mkdir(join(path, 'sys/class/block'), { recursive: true })
  await writeFile(join(disk, 'dev'), '259:0\n')
  await writeFile(join(disk, 'size'), '2048\n')
  await writeFile(join(disk, 'queue/logical_block_size'), '4096\n')
  await writeFile(join(disk, 'nvme0n1p1/dev'), '259:1\n')
  await writeFile(join(disk, 'nvme0n1p1/partition'), '1\n')
  await writeFile(join(disk, 'nvme0n1p1/size'), '1024\n')
  await symlink(disk, join(path, 'sys/class/block/nvme0n1'))
  await symlink(join(disk, 'nvme0n1p1'), join(path, 'sys/class/block/nvme0n1p1'))
  return {
    root: createRoot(path),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  }
}

describe('sysfs', () => {
  test('knows a disk, its partitions and who holds them', async () => {
    await using sysfs = await createSysfs()
    const disk = await findBlockDevice(sysfs.root, '259:0')
    if (disk === undefined) throw new Error('no disk found')
    expect(disk).toMatchObject({ name: 'nvme0n1', isPartition: false })
    expect(await readSizeBytes(sysfs.root, disk)).toBe(1024 * 1024)
    const [partition] = await listKernelPartitions(sysfs.root, disk)
    if (partition === undefined) throw new Error('no partition found')
    expect(partition).toMatchObject({ name: 'nvme0n1p1', deviceNumber: '259:1' })
    expect(await listHolders(sysfs.root, disk)).toEqual([])
    expect(await listHolders(sysfs.root, partition)).toEqual(['md127'])
  })

  test('gives a partition the sectors of its disk', async () => {
    await using sysfs = await createSysfs()
    const partition = await findBlockDevice(sysfs.root, '259:1')
    if (partition === undefined) throw new Error('no partition found')
    expect(partition.isPartition).toBe(true)
    expect(await readQueueNumber(sysfs.root, partition, 'logical_block_size')).toBe(4096)
    expect(await readQueueNumber(sysfs.root, partition, 'physical_block_size')).toBeUndefined()
    expect(await readSizeBytes(sysfs.root, partition)).toBe(512 * 1024)
  })

  test('does not know a device that is not there', async () => {
    await using sysfs = await createSysfs()
    expect(await findBlockDevice(sysfs.root, '8:0')).toBeUndefined()
  })

  test('a path leads to no block device unless it is one', async () => {
    await using sysfs = await createSysfs()
    for (const path of ['/dev/null', '/', import.meta.filename, '/dev/no-such-disk']) {
      expect(await blockDeviceAt(sysfs.root, path)).toBeUndefined()
    }
  })

  test('device numbers are split as the C library splits them', () => {
    expect(formatDeviceNumber(0x0701)).toBe('7:1')
    expect(formatDeviceNumber(0x103_00)).toBe('259:0')
    // makedev(3) of 5000 and 70000
    expect(formatDeviceNumber(17592472537200)).toBe('5000:70000')
  })
})
