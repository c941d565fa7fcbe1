import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isAgentError } from '../../../../agent/core/errors.ts'
import {
  addGptPartition,
  encodeGpt,
  fitGpt,
  type Gpt,
  LINUX_FS_TYPE,
  parseGptEntries,
  parseGptHeader,
} from '../../../../agent/disk/partition-table/gpt.ts'
import { formatGuid, parseGuid } from '../../../../agent/disk/partition-table/guid.ts'
import { parseGpt } from '../../../support/gpt.ts'

const GUID = '6e1b2a4c-0000-4000-8000-000000000001'

function emptyGpt(sectorBytes: number, totalSectors: number): Gpt {
  const entries = new Uint8Array(128 * 128)
  const entriesSectors = entries.length / sectorBytes
  const header = {
    revision: 0x10000,
    headerBytes: 92,
    currentLba: 1,
    alternateLba: totalSectors - 1,
    firstUsableLba: 2 + entriesSectors,
    lastUsableLba: totalSectors - 2 - entriesSectors,
    diskGuid: GUID,
    entriesLba: 2,
    entryCount: 128,
    entryBytes: 128,
    entriesCrc32: crc32(entries),
  }
  return parseGptEntries(header, entries, sectorBytes)
}

/** The bytes of a disk that holds only the two copies of the table. */
function diskOf(gpt: Gpt, totalSectors: number): Uint8Array {
  const disk = new Uint8Array(totalSectors * gpt.sectorBytes)
  const { backup, primary } = encodeGpt(gpt)
  for (const { offset, bytes } of [...backup, ...primary]) disk.set(bytes, offset)
  return disk
}

interface WantedPartition {
  readonly firstLba: number
  readonly sectors: number
  readonly attributes: bigint
  readonly name: string
  readonly uniqueGuid: string
}

const partition: fc.Arbitrary<WantedPartition> = fc.record({
  firstLba: fc.integer({ min: 100, max: 500 }),
  sectors: fc.integer({ min: 1, max: 400 }),
  attributes: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  name: fc.stringMatching(/^[A-Za-z0-9äßŒ中 _-]{0,36}$/).map((name) => name.trim()),
  uniqueGuid: fc.uuid(),
})

function withPartitions(gpt: Gpt, wanted: readonly WantedPartition[]): Gpt {
  return wanted.reduce(
    (table, { sectors, ...rest }) =>
      addGptPartition(table, {
        ...rest,
        lastLba: rest.firstLba + sectors - 1,
        typeGuid: LINUX_FS_TYPE,
      }),
    gpt,
  )
}

describe('a GUID', () => {
  test('is spelled with its first three fields swapped', () => {
    const esp = Uint8Array.from(Buffer.from('28732ac11ff8d211ba4b00a0c93ec93b', 'hex'))
    expect(formatGuid(esp)).toBe('c12a7328-f81f-11d2-ba4b-00a0c93ec93b')
  })

  test('survives the way to bytes and back', () => {
    fc.assert(
      fc.property(fc.uuid(), (guid) => {
        expect(formatGuid(parseGuid(guid))).toBe(guid)
      }),
    )
  })

  test('refuses other text', () => {
    expect(() => parseGuid('c12a7328')).toThrow(RangeError)
  })
})

describe('a GPT', () => {
  test('is read back as it was encoded, from both copies', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(512, 4096),
        fc.array(partition, { maxLength: 20 }),
        (sectorBytes, wanted) => {
          const gpt = withPartitions(emptyGpt(sectorBytes, 1000), wanted)
          const disk = diskOf(gpt, 1000)
          expect(parseGpt(disk, sectorBytes)).toEqual(gpt)
          const backup = parseGptHeader(disk.subarray(999 * sectorBytes), 999)
          expect(backup.alternateLba).toBe(1)
          const entries = disk.subarray(backup.entriesLba * sectorBytes)
          expect(parseGptEntries(backup, entries, sectorBytes).partitions).toEqual(gpt.partitions)
        },
      ),
      { numRuns: 50 },
    )
  })

  test('fits any larger disk, with its partitions untouched', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1000, max: 2 ** 40 }), partition, (totalSectors, wanted) => {
        const gpt = withPartitions(emptyGpt(512, 1000), [wanted])
        const fitted = fitGpt(gpt, totalSectors)
        expect(fitted.partitions).toEqual(gpt.partitions)
        expect(fitted.header.alternateLba).toBe(totalSectors - 1)
        const { backup } = encodeGpt(fitted)
        const endOfEntries = (backup[0]?.offset ?? 0) + 128 * 128
        expect(endOfEntries).toBe((totalSectors - 1) * 512)
        expect((fitted.header.lastUsableLba + 1) * 512).toBe(backup[0]?.offset)
      }),
    )
  })

  test('does not fit a disk that ends before its last partition', () => {
    const gpt = withPartitions(emptyGpt(512, 1000), [
      { firstLba: 500, sectors: 300, attributes: 0n, name: 'root', uniqueGuid: GUID },
    ])
    expect(() => fitGpt(gpt, 820)).toThrow(/partition 1 ends at LBA 799.*up to LBA 786/)
  })

  test('any changed bit of header or entries is noticed', () => {
    const gpt = withPartitions(emptyGpt(512, 1000), [
      { firstLba: 100, sectors: 10, attributes: 0n, name: 'root', uniqueGuid: GUID },
    ])
    const good = diskOf(gpt, 1000)
    const checked = fc.oneof(
      fc.integer({ min: 512, max: 512 + 91 }),
      fc.integer({ min: 1024, max: 1024 + 128 * 128 - 1 }),
    )
    fc.assert(
      fc.property(checked, fc.nat(7), (at, bit) => {
        const disk = good.slice()
        disk[at] = (disk[at] as number) ^ (1 << bit)
        expect(() => parseGpt(disk, 512)).toThrow(/GPT at LBA 1 is not valid/)
      }),
    )
  })

  test('hostile headers with a right CRC end in an error, never in a crash or a huge allocation', () => {
    const good = diskOf(emptyGpt(512, 1000), 1000).slice(0, 40 * 512)
    const field = fc.tuple(
      fc.integer({ min: 8, max: 88 }),
      fc.uint8Array({ minLength: 1, maxLength: 8 }),
    )
    fc.assert(
      fc.property(fc.array(field, { minLength: 1, maxLength: 4 }), (fields) => {
        const disk = Buffer.from(good)
        for (const [at, bytes] of fields) disk.set(bytes, 512 + at)
        const size = Math.min(Math.max(disk.readUInt32LE(512 + 12), 92), 512)
        disk.writeUInt32LE(0, 512 + 16)
        disk.writeUInt32LE(crc32(disk.subarray(512, 512 + size)), 512 + 16)
        try {
          expect(parseGpt(disk, 512).entries.length).toBeLessThanOrEqual(1024 * 1024)
        } catch (error) {
          if (!isAgentError(error, 'BlockDeviceError')) throw error
        }
      }),
    )
  })

  test('a header that promises gigabytes of entries is refused before they are read', () => {
    const gpt = emptyGpt(512, 1000)
    const header = { ...gpt.header, alternateLba: 2 ** 40, entryCount: 2 ** 24 }
    const [, sector] = encodeGpt({ ...gpt, header }).primary
    expect(() => parseGptHeader(sector?.bytes ?? new Uint8Array(), 1)).toThrow(
      /16777216 entries of 128 bytes/,
    )
  })

  test('random bytes are no GPT', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4096 }), (bytes) => {
        expect(() => parseGpt(bytes, 512)).toThrow(/not valid/)
      }),
    )
  })

  test('refuses a partition more than it has entries', () => {
    const one = { firstLba: 100, sectors: 1, attributes: 0n, name: '', uniqueGuid: GUID }
    const full = withPartitions(
      emptyGpt(512, 1000),
      Array.from({ length: 128 }, () => one),
    )
    expect(() => withPartitions(full, [one])).toThrow(/all 128 entries are used/)
  })
})
