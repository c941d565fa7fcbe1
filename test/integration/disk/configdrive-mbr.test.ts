import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { GiB, MiB } from '../../../agent/core/units.ts'
import { openBlockDevice } from '../../../agent/disk/block-device.ts'
import { writeConfigDrive } from '../../../agent/disk/configdrive/configdrive.ts'
import { inMemory } from '../../../agent/disk/configdrive/decode.ts'
import { listLogicalPartitions } from '../../../agent/disk/partition-table/logical.ts'
import { exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { readPartitionTable } from '../../support/compare-disk.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const run = promisify(execFile)
const canRun = hasLoopDevices('config drives in an MBR') && hasPackages('agent')
const root = createRoot('/')

async function sfdisk(path: string, script: string): Promise<void> {
  const running = run('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', path])
  running.child.stdin?.end(script)
  await running
}

async function putConfigDrive(path: string, drive: Uint8Array) {
  await using device = await openBlockDevice(path, { mode: 'write', root })
  return await writeConfigDrive({ device, image: inMemory(drive), exec })
}

/** A primary partition, and three logical ones in an extended one, with gaps between them. */
const LOGICAL =
  'label: dos\nstart=2048,size=2048,type=83\nstart=4096,size=61440,type=f\n' +
  'start=6144,size=4096,type=83\nstart=12288,size=4096,type=83\nstart=20480,size=8192,type=83\n'

describe.runIf(canRun)('a config drive on a disk with an MBR', () => {
  test.each([512, 4096] as const)(
    'goes into a logical partition labelled config-2 (%i-byte sectors)',
    async (sectorBytes) => {
      await using disk = await createLoopDevice({ sizeBytes: 64 * MiB, sectorBytes })
      const perSector = sectorBytes / 512
      const script = LOGICAL.replaceAll(/\d{4,}/g, (number) => String(Number(number) / perSector))
      await sfdisk(disk.path, script)
      const before = await readPartitionTable(disk.path)
      const rows = before?.partitions?.slice(2) ?? []
      const wanted = rows.at(-1)
      if (!wanted) throw new Error('no logical partition')
      {
        await using device = await openBlockDevice(disk.path, { mode: 'read', root })
        const found = await listLogicalPartitions(device)
        expect(found.map(({ number, range }) => [number, range.offset, range.length])).toEqual(
          rows.map(({ start, size }, i) => [5 + i, start * sectorBytes, size * sectorBytes]),
        )
      }
      await run('mkfs.vfat', [
        '-S',
        String(sectorBytes),
        '-n',
        'CONFIG-2',
        `--offset=${wanted.start}`,
        disk.path,
        '4096',
      ])
      const drive = randomBytes(MiB + 512)
      const written = await putConfigDrive(disk.path, drive)
      expect(written).toMatchObject({
        isNewPartition: false,
        partition: { number: 4 + rows.length },
      })
      await using file = await open(disk.path)
      const seen = Buffer.alloc(drive.length)
      await file.read(seen, 0, seen.length, wanted.start * sectorBytes)
      expect(seen.equals(drive)).toBe(true)
      expect(await readPartitionTable(disk.path)).toEqual(before)
    },
  )

  test('ends a chain that goes round in a circle', async () => {
    await using disk = await createLoopDevice({ sizeBytes: 64 * MiB })
    await sfdisk(disk.path, LOGICAL)
    await using device = await openBlockDevice(disk.path, { mode: 'write', root })
    const chain = await listLogicalPartitions(device)
    const second = (chain[1]?.range.offset ?? 0) - MiB
    const record = new Uint8Array(512)
    await device.read(second, record)
    // the link to the third record leads back to the first
    record.set([0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], 462)
    await device.write(second, record)
    expect((await listLogicalPartitions(device)).length).toBe(2)
  })

  test('gets a new partition that ends below 2 TiB, however large the disk is', async () => {
    await using disk = await createLoopDevice({ sizeBytes: 3 * 1024 * GiB })
    await sfdisk(disk.path, 'label: dos\nstart=2048,size=2048,type=83\n')
    const drive = randomBytes(MiB)
    const { partition } = await putConfigDrive(disk.path, drive)
    const [, added] = (await readPartitionTable(disk.path))?.partitions ?? []
    const mib = 2048
    expect(added).toMatchObject({ start: (2_097_152 - 64 - 1) * mib, size: 64 * mib })
    await using file = await open(disk.path)
    const seen = Buffer.alloc(drive.length)
    await file.read(seen, 0, seen.length, partition.range.offset)
    expect(seen.equals(drive)).toBe(true)
    await run('sfdisk', ['--verify', disk.path])
  })
})
