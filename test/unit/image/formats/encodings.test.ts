import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type DiskRange, endOf } from '../../../../agent/core/extent.ts'
import { ENCODINGS } from '../../../../agent/image/formats/encodings.ts'
import { detectFormat, SNIFFED_BYTES } from '../../../../agent/image/formats/image-format.ts'

const WINDOW: DiskRange = { offset: 4096, length: 1 << 20 }

/** A file of so many bytes, and two cuts of it. */
const cuts = fc
  .integer({ min: 1, max: WINDOW.length })
  .chain((fileBytes) =>
    fc.record({
      fileBytes: fc.constant(fileBytes),
      offset: fc.integer({ min: 0, max: fileBytes - 1 }),
      length: fc.integer({ min: 1, max: 64 }),
    }),
  )
  .map(({ fileBytes, offset, length }) => ({
    fileBytes,
    range: { offset, length: Math.min(length, fileBytes - offset) },
  }))

/** Each byte that a layout places, by its place on the disk. */
function placed(layout: ReturnType<(typeof ENCODINGS)['raw']>, offset: number, data: Uint8Array) {
  const bytes = new Map<number, number>()
  for (const part of layout.place({ offset, data, from: 'origin' })) {
    for (const [at, byte] of part.data.entries()) bytes.set(part.offset + at, byte)
  }
  return bytes
}

describe.each(Object.entries(ENCODINGS))('the layout of %s', (_format, createLayout) => {
  test('reads every byte of the file back from where it has placed it, in the order of the file', () => {
    fc.assert(
      fc.property(cuts, ({ fileBytes, range }) => {
        const layout = createLayout(fileBytes, WINDOW)
        const data = Uint8Array.from({ length: range.length }, (_, at) => at + 1)
        const disk = placed(layout, range.offset, data)
        const found = layout
          .locate(range)
          .flatMap((part) => Array.from({ length: part.length }, (_, at) => part.offset + at))
        expect(found.map((at) => disk.get(at))).toEqual([...data])
      }),
    )
  })

  test('places nothing outside of its area, nor its area outside of the window', () => {
    fc.assert(
      fc.property(cuts, ({ fileBytes, range }) => {
        const layout = createLayout(fileBytes, WINDOW)
        expect(layout.area.offset).toBeGreaterThanOrEqual(WINDOW.offset)
        expect(endOf(layout.area)).toBeLessThanOrEqual(endOf(WINDOW))
        for (const part of layout.locate(range)) {
          expect(part.offset).toBeGreaterThanOrEqual(layout.area.offset)
          expect(endOf(part)).toBeLessThanOrEqual(endOf(layout.area))
        }
      }),
    )
  })

  test('refuses a window that is too small', () => {
    expect(() => createLayout(WINDOW.length + 1, WINDOW)).toThrow(RangeError)
  })
})

test('a SHA-1 of bytes that stay whole stays with them', () => {
  const sha1 = new Uint8Array(20)
  const extent = { offset: 0, data: new Uint8Array(8), from: 'peers', sha1 } as const
  expect(ENCODINGS.raw(8, WINDOW).place(extent)).toEqual([{ ...extent, offset: WINDOW.offset }])
})

test('what no signature tells is raw, and raw is written', () => {
  expect(Object.keys(ENCODINGS)).toContain(detectFormat(new Uint8Array(SNIFFED_BYTES)))
})
