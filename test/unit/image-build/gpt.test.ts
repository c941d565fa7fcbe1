import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseGptHeader } from '../../../agent/disk/partition-table/gpt.ts'
import { parseMbr } from '../../../agent/disk/partition-table/mbr.ts'
import { makeGpt, PARTITION_TYPES, SECTOR_BYTES } from '../../../image-build/gpt.ts'
import { parseGpt } from '../../support/gpt.ts'

const guid = fc.uuid().map((text) => text.toUpperCase())

test('a table that is made is the table that is parsed, at both ends of the disk', () => {
  const partition = fc.record({
    name: fc.stringMatching(/^[A-Za-z0-9]([A-Za-z0-9 _-]{0,34}[A-Za-z0-9])?$/),
    guid,
    sectors: fc.integer({ min: 1, max: 5000 }),
    isLegacyBootable: fc.boolean(),
  })
  fc.assert(
    fc.property(guid, fc.array(partition, { maxLength: 8 }), (diskGuid, wanted) => {
      let next = 2048
      const partitions = wanted.map((one) => {
        const firstSector = next
        next += one.sectors
        return { ...one, firstSector, type: PARTITION_TYPES.esp }
      })
      const diskSectors = next + 100
      const { head, tail } = makeGpt({ diskGuid, diskSectors, partitions })
      const gpt = parseGpt(head, SECTOR_BYTES)
      expect(gpt.header.diskGuid.toUpperCase()).toBe(diskGuid)
      expect(gpt.header.alternateLba).toBe(diskSectors - 1)
      expect(
        gpt.partitions.map(({ name, uniqueGuid, firstLba, lastLba, attributes }) => ({
          name,
          guid: uniqueGuid.toUpperCase(),
          firstSector: firstLba,
          sectors: lastLba - firstLba + 1,
          isLegacyBootable: attributes === 4n,
        })),
      ).toEqual(partitions.map(({ type, ...one }) => one))
      const backup = parseGptHeader(tail.subarray(-SECTOR_BYTES), diskSectors - 1)
      expect(backup.alternateLba).toBe(1)
      expect(backup.entriesCrc32).toBe(gpt.header.entriesCrc32)
      expect(tail.length).toBe(33 * SECTOR_BYTES)
    }),
  )
})

test('the first sector says to old tools that the whole disk is taken', () => {
  const { head } = makeGpt({
    diskGuid: '1A04AD5E-0000-4000-8000-000000000001',
    diskSectors: 4096,
    partitions: [],
  })
  const mbr = parseMbr(head.subarray(0, SECTOR_BYTES))
  expect(mbr?.partitions).toHaveLength(1)
  expect(head[450]).toBe(0xee)
})

test('what is no GUID is refused', () => {
  const table = { diskGuid: 'not-a-guid', diskSectors: 4096, partitions: [] }
  expect(() => makeGpt(table)).toThrow('not-a-guid is not a GUID')
})
