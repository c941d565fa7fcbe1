import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DiskBytes } from '../../../agent/disk/block-device.ts'
import { inMemory } from '../../../agent/disk/configdrive/decode.ts'
import { createHeldBack } from '../../../agent/disk/hold-back.ts'
import { bootRanges, listPartitions } from '../../../agent/disk/partition-table/partitioner.ts'
import { makeBootable } from '../../../agent/image/target/make-bootable.ts'
import { exec } from '../../../agent/system/exec.ts'
import { makeDiskImage } from '../../support/disk-image.ts'
import { hasPackages } from '../../support/packages.ts'
import { MiB, testLogger } from './deploy-lab.ts'

const DISK_BYTES = 96 * MiB
const SECTOR = 512
const canRun = hasPackages('agent')

interface Write {
  readonly offset: number
  readonly data: Buffer
}

/** What a disk was told to do: writes between two flushes may reach the medium in any order, or not at all. */
type Flush = readonly Write[]

function memoryDisk(bytes: Buffer): { disk: DiskBytes; flushes: Flush[]; unflushed: Write[] } {
  const flushes: Flush[] = []
  const unflushed: Write[] = []
  const geometry = {
    path: 'memory',
    sizeBytes: bytes.length,
    logicalSectorBytes: SECTOR,
    physicalSectorBytes: SECTOR,
    isBlockDevice: false,
  }
  return {
    flushes,
    unflushed,
    disk: {
      geometry,
      read: async (offset, target) => void bytes.copy(target, 0, offset),
      write: async (offset, data) => {
        unflushed.push({ offset, data: Buffer.from(data) })
        bytes.set(data, offset)
      },
      sync: async () => void flushes.push(unflushed.splice(0)),
    },
  }
}

/** Brings a medium, or the part of it from an offset on, to what it is when the power fails in `torn`, of which the sectors land that `lands` takes. */
function cutPower(
  medium: Buffer,
  offsetInMedium: number,
  whole: readonly Flush[],
  torn: Flush,
  lands: (sector: number) => boolean,
): void {
  const put = (offset: number, sector: Buffer) => {
    const at = offset - offsetInMedium
    if (at >= 0 && at < medium.length) medium.set(sector, at)
  }
  const write = ({ offset, data }: Write, takes: (sector: number) => boolean) => {
    for (let at = 0; at < data.length; at += SECTOR) {
      if (takes((offset + at) / SECTOR)) put(offset + at, data.subarray(at, at + SECTOR))
    }
  }
  for (const one of whole.flat()) write(one, () => true)
  for (const one of torn) write(one, lands)
}

/** Which sectors of the flush that the power fails in have reached the medium. */
const LANDINGS: readonly ((sector: number) => boolean)[] = [
  () => false,
  () => true,
  (sector) => sector % 2 === 0,
  (sector) => sector % 2 === 1,
  (sector) => ((sector * 2_654_435_761) >>> 7) % 2 === 0,
]

describe.runIf(canRun).each(['gpt', 'mbr'] as const)(
  'a power cut while a %s disk is made bootable',
  (table) => {
    const drive = randomBytes(MiB + SECTOR)
    let folder: string
    let before: Buffer
    let flushes: readonly Flush[]

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'ironswarm-power-'))
      const image = await makeDiskImage(join(folder, 'image'), { sizeBytes: 8 * MiB, table })
      const bytes = Buffer.alloc(DISK_BYTES)
      bytes.set(await readFile(image.path))
      const { disk, flushes: seen, unflushed } = memoryDisk(bytes)
      const held = createHeldBack(bootRanges(disk.geometry))
      for (const { offset, bytes: kept } of held.ranges) {
        kept.set(bytes.subarray(offset, offset + kept.length))
        bytes.fill(0, offset, offset + kept.length)
      }
      before = Buffer.from(bytes)
      await makeBootable({
        device: disk,
        held,
        onOverwrite: () => undefined,
        imageArea: { offset: 0, length: image.sizeBytes },
        layout: null,
        table: null,
        configdrive: inMemory(drive),
        rebuild: false,
        onStage: () => undefined,
        exec,
        log: testLogger(),
        signal: new AbortController().signal,
      })
      expect(unflushed).toEqual([])
      flushes = seen
    })
    afterAll(() => rm(folder, { recursive: true, force: true }))

    const boots = (medium: Buffer) => medium.readUInt16LE(510) === 0xaa55

    async function expectWhole(medium: Buffer): Promise<void> {
      const { label, partitions } = await listPartitions(memoryDisk(medium).disk)
      expect(label).toBe(table === 'gpt' ? 'gpt' : 'msdos')
      const added = partitions.at(-1)?.range.offset ?? 0
      expect(drive.equals(medium.subarray(added, added + drive.length))).toBe(true)
      const end = medium.subarray(-SECTOR, -SECTOR + 8).toString('latin1')
      expect(end === 'EFI PART').toBe(table === 'gpt')
    }

    test('leaves a disk that does not boot, or one that has its table, its backup and its config drive', async () => {
      expect(flushes.length).toBeGreaterThan(3)
      const ends: boolean[] = []
      for (const [i, torn] of flushes.entries()) {
        for (const lands of LANDINGS) {
          const first = Buffer.from(before.subarray(0, SECTOR))
          cutPower(first, 0, flushes.slice(0, i), torn, lands)
          ends.push(boots(first))
          if (!boots(first)) continue
          const medium = Buffer.from(before)
          cutPower(medium, 0, flushes.slice(0, i), torn, lands)
          await expectWhole(medium)
        }
      }
      expect(new Set(ends)).toEqual(new Set([false, true]))
    })

    test('has the first sector alone in the last flush: a sector is written whole or not at all', () => {
      expect(flushes.at(-1)).toMatchObject([{ offset: 0, data: { length: SECTOR } }])
      for (const { offset } of flushes.slice(0, -1).flat())
        expect(offset).toBeGreaterThanOrEqual(SECTOR)
    })
  },
)
