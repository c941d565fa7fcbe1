import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  addMbrPartition,
  diskIdentifier,
  fitProtectiveMbr,
  PROTECTIVE_TYPE,
  parseMbr,
  pointsToGpt,
} from '../../../../agent/disk/partition-table/mbr.ts'

function emptySector(): Buffer {
  const sector = Buffer.alloc(512)
  sector.writeUInt16LE(0xaa55, 510)
  return sector
}

const row = (firstLba: number, type = 0x83) => ({
  isActive: false,
  type,
  firstLba,
  sectorCount: 100,
})

describe('an MBR', () => {
  test('is no MBR without its signature, nor with a boot flag of no MBR', () => {
    expect(parseMbr(Buffer.alloc(512))).toBeUndefined()
    const fat = emptySector()
    fat[446] = 0x33
    expect(parseMbr(fat)).toBeUndefined()
    expect(parseMbr(Buffer.alloc(100))).toBeUndefined()
  })

  test('holds the partitions that were added, and keeps boot code and identifier', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 446, maxLength: 446 }),
        fc.array(
          fc.record({
            isActive: fc.boolean(),
            type: fc.integer({ min: 1, max: 255 }),
            firstLba: fc.nat(2 ** 32 - 1),
            sectorCount: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
          }),
          { maxLength: 4 },
        ),
        (code, wanted) => {
          let sector: Uint8Array = emptySector()
          sector.set(code)
          for (const partition of wanted) sector = addMbrPartition(sector, partition).sector
          expect(parseMbr(sector)?.partitions).toEqual(
            wanted.map((partition, i) => ({ number: i + 1, ...partition })),
          )
          expect(Buffer.compare(sector.subarray(0, 446), code)).toBe(0)
        },
      ),
    )
  })

  test('takes no fifth primary partition, and the error says what to do', () => {
    let sector: Uint8Array = emptySector()
    for (const at of [1, 2, 3, 4]) sector = addMbrPartition(sector, row(at * 1000)).sector
    expect(() => addMbrPartition(sector, row(9000))).toThrow(/4 primary.*leave one/)
  })

  test('spells the disk identifier as Ironic compares it', () => {
    const sector = emptySector()
    sector.writeUInt32LE(0x1a2b3c, 440)
    expect(diskIdentifier(sector)).toBe('0x001a2b3c')
    expect(diskIdentifier(Buffer.alloc(512))).toBe('0x00000000')
  })

  test('a protective record grows with the disk, up to what 32 bits hold', () => {
    const { sector } = addMbrPartition(emptySector(), row(1, PROTECTIVE_TYPE))
    expect(parseMbr(sector)?.isProtective).toBe(true)
    expect(parseMbr(fitProtectiveMbr(sector, 5000))?.partitions[0]?.sectorCount).toBe(4999)
    expect(parseMbr(fitProtectiveMbr(sector, 2 ** 40))?.partitions[0]?.sectorCount).toBe(
      2 ** 32 - 1,
    )
  })

  test('a hybrid or ordinary record stays as it is', () => {
    const ordinary = addMbrPartition(emptySector(), row(2048)).sector
    expect(fitProtectiveMbr(ordinary, 5000)).toBe(ordinary)
    const hybrid = addMbrPartition(ordinary, row(1, PROTECTIVE_TYPE)).sector
    expect(fitProtectiveMbr(hybrid, 5000)).toBe(hybrid)
  })

  test.each<[string, Parameters<typeof row>[], boolean]>([
    ['an entry of type 0xEE at LBA 1', [[1, PROTECTIVE_TYPE]], true],
    ['one behind others: a hybrid record', [[2048], [1, PROTECTIVE_TYPE]], true],
    ['one that begins elsewhere', [[2048, PROTECTIVE_TYPE]], false],
    [
      'other entries only, as isohybrid images have',
      [
        [0, 0x17],
        [500, 0xef],
      ],
      false,
    ],
    ['no entry at all', [], false],
  ])('with %s says whether a GPT counts', (_, rows, points) => {
    let sector: Uint8Array = emptySector()
    for (const args of rows) sector = addMbrPartition(sector, row(...args)).sector
    expect(pointsToGpt(sector)).toBe(points)
    expect(pointsToGpt(sector.fill(0, 510))).toBe(false)
  })

  test('an entry of type 0 that has a size is not free, as in the records of isohybrid images', () => {
    const { sector } = addMbrPartition(emptySector(), row(64, 0))
    expect(parseMbr(sector)?.partitions).toMatchObject([{ number: 1, type: 0, firstLba: 64 }])
    expect(addMbrPartition(sector, row(9000)).number).toBe(2)
  })
})
