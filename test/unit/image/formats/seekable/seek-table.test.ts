import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  encodeSeekTable,
  parseSeekTable,
  SEEK_FOOTER_BYTES,
  type SeekEntry,
  seekTableBytes,
} from '../../../../../agent/image/formats/seekable/seek-table.ts'

const U32 = fc.nat({ max: 0xffff_ffff })
const ENTRIES = fc.array(fc.record({ fileBytes: U32, imageBytes: U32 }), { maxLength: 40 })

function fileBytesOf(entries: readonly SeekEntry[], table: Uint8Array): number {
  return entries.reduce((sum, { fileBytes }) => sum + fileBytes, table.length)
}

describe('a seek table', () => {
  test('is read as it was written, and its last bytes say how long it is', () => {
    fc.assert(
      fc.property(ENTRIES, (entries) => {
        const table = encodeSeekTable(entries)
        expect(seekTableBytes(table.subarray(-SEEK_FOOTER_BYTES))).toBe(table.length)
        expect(parseSeekTable(table, fileBytesOf(entries, table))).toEqual(entries)
      }),
    )
  })

  test('with a checksum for each frame is read like one without', () => {
    // of one frame of 7 bytes that holds 5, by the specification's table
    const table = Buffer.from(
      '5e2a4d1815000000' + '0700000005000000' + 'deadbeef' + '01000000' + '80' + 'b1ea928f',
      'hex',
    )
    expect(seekTableBytes(table.subarray(-SEEK_FOOTER_BYTES))).toBe(table.length)
    expect(parseSeekTable(table, 7 + table.length)).toEqual([{ fileBytes: 7, imageBytes: 5 }])
  })

  const GOOD = [
    { fileBytes: 10, imageBytes: 100 },
    { fileBytes: 20, imageBytes: 0 },
  ]
  const edited = (at: number, byte: number) => {
    const table = encodeSeekTable(GOOD)
    table[at] = byte
    return table
  }
  test.each([
    ['frames that are longer than the file', edited(8, 11), /2 frames and itself have \d+ bytes/],
    ['another magic at its beginning', edited(0, 0x5d), /no skippable frame begins/],
    ['another length at its beginning', edited(4, 99), /no skippable frame begins/],
    ['more frames than it has room for', edited(24, 3), /which its last ones do not fit/],
    ['a reserved bit', edited(28, 4), /which its last ones do not fit/],
    ['another magic at its end', edited(29, 0), /which its last ones do not fit/],
  ])('is refused with %s', (_what, table, words) => {
    const fileBytes = fileBytesOf(GOOD, table)
    expect(() => parseSeekTable(table, fileBytes)).toThrow(words)
    expect(() => parseSeekTable(table, fileBytes)).toThrow(
      expect.objectContaining({ type: 'InvalidImage' }),
    )
  })

  test('of any bytes is read or refused as InvalidImage', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), U32, (bytes, fileBytes) => {
        try {
          const entries = parseSeekTable(bytes, fileBytes)
          expect(fileBytesOf(entries, bytes)).toBe(fileBytes)
        } catch (error) {
          expect(error).toMatchObject({ type: 'InvalidImage' })
        }
      }),
    )
  })

  test('is not seen in a file that ends otherwise', () => {
    expect(seekTableBytes(new Uint8Array(SEEK_FOOTER_BYTES))).toBeUndefined()
    expect(seekTableBytes(new Uint8Array(3))).toBeUndefined()
  })
})
