import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeGeneratedImage } from '../../../image-build/generated-image.ts'
import { makeGpt, PARTITION_TYPES } from '../../../image-build/gpt.ts'
import { verifyDisk } from '../../e2e/demo/verify-disk.ts'

const MiB = 1024 * 1024
const IMAGE_BYTES = 8 * MiB
const DISK_BYTES = 32 * MiB
const ISO = Buffer.alloc(4096, 'config drive ')

let folder: string
let image: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-verify-'))
  image = join(folder, 'image.raw')
  await makeGeneratedImage(image, IMAGE_BYTES)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

interface Damage {
  /** Byte to change. */
  at?: number
  hasImagePartition?: boolean
  hasConfigDrive?: boolean
}

/** The disk after a deploy: backup table at its own end, config drive after the image; and then damaged. */
async function makeDisk(name: string, damage: Damage = {}): Promise<string> {
  const path = join(folder, name)
  await using from = await open(image)
  await using disk = await open(path, 'w+')
  const bytes = Buffer.alloc(IMAGE_BYTES)
  await from.read(bytes, 0, bytes.length, 0)
  await disk.truncate(DISK_BYTES)
  await disk.write(bytes, 0, bytes.length, 0)
  const partitions = [
    {
      name: 'generated',
      type: PARTITION_TYPES.linux,
      guid: '1A04AD5E-0000-4000-8000-000000000012',
      firstSector: 2048,
      sectors: (IMAGE_BYTES - 2 * MiB) / 512,
    },
    {
      name: 'config-2',
      type: PARTITION_TYPES.linux,
      guid: '1A04AD5E-0000-4000-8000-0000000000FF',
      firstSector: (16 * MiB) / 512,
      sectors: 2048,
    },
  ].filter(({ name: partition }) =>
    partition === 'generated'
      ? (damage.hasImagePartition ?? true)
      : (damage.hasConfigDrive ?? true),
  )
  const { head, tail } = makeGpt({
    diskGuid: '1A04AD5E-0000-4000-8000-000000000011',
    diskSectors: DISK_BYTES / 512,
    partitions,
  })
  await disk.write(head, 0, head.length, 0)
  await disk.write(tail, 0, tail.length, DISK_BYTES - tail.length)
  await disk.write(ISO, 0, ISO.length, 16 * MiB)
  if (damage.at !== undefined) {
    const byte = Buffer.alloc(1)
    await disk.read(byte, 0, 1, damage.at)
    byte[0] = (byte[0] as number) ^ 1
    await disk.write(byte, 0, 1, damage.at)
  }
  return path
}

describe('a disk after a deploy', () => {
  test('is right when only the partition table and the config drive are new', async () => {
    const verdict = await verifyDisk(await makeDisk('right'), image, ISO)
    expect(verdict).toEqual({ comparedBytes: IMAGE_BYTES - 66 * 512 - 64, faults: [] })
  })

  test.each([
    ['in the boot code', 100],
    ['in the boot signature', 511],
    ['right after the partition table', 34 * 512],
    ['in the middle', 5 * MiB + 4095],
    ['before the backup table of the image', IMAGE_BYTES - 33 * 512 - 1],
  ])('is wrong when one bit differs %s', async (_where, at) => {
    const { faults } = await verifyDisk(await makeDisk('bit', { at }), image, ISO)
    expect(faults).toEqual([`differs from the image at byte ${at}`])
  })

  test('is wrong when a partition of the image is gone', async () => {
    const disk = await makeDisk('gone', { hasImagePartition: false })
    expect((await verifyDisk(disk, image, ISO)).faults).toContain(
      'a partition of the image is gone',
    )
  })

  test('is wrong without a config drive, and with another one', async () => {
    const without = await makeDisk('without', { hasConfigDrive: false })
    expect((await verifyDisk(without, image, ISO)).faults).toEqual([
      '0 partitions beside those of the image, not 1 (config drive)',
    ])
    const other = await makeDisk('other', { at: 16 * MiB + 7 })
    expect((await verifyDisk(other, image, ISO)).faults).toEqual([
      'the config drive holds something else',
    ])
  })

  test('is wrong when it is empty', async () => {
    const path = join(folder, 'empty')
    await using disk = await open(path, 'w')
    await disk.truncate(DISK_BYTES)
    expect((await verifyDisk(path, image, undefined)).faults).toContain('no GUID partition table')
  })
})
