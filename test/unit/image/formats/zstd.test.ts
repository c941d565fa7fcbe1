import { constants, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ZstdFrame } from '../../../../agent/image/formats/compressed/zstd-frame.ts'
import { UNPACKERS } from '../../../../agent/image/formats/unpackers.ts'
import { skippableFrame } from '../../../support/formats/packed-image.ts'
import { unpackInMemory } from '../../../support/formats/unpacked-memory.ts'
import { buildFrame, withContentSize } from '../../../support/formats/zstd-builder.ts'

const KiB = 1024
const MiB = 1024 * KiB
const WINDOW_BYTES = 40 * MiB

function text(bytes: number, seed = 0): Buffer {
  return Buffer.from(new Uint8Array(bytes).map((_, at) => ((at + seed) * at) >>> 9))
}

function packed(bytes: Uint8Array): Buffer {
  return zstdCompressSync(bytes, {
    params: { [constants.ZSTD_c_checksumFlag]: 1 },
    pledgedSrcSize: bytes.length,
  })
}

/** A frame of any kind, and what it holds. */
const FRAME = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map((bytes) => [packed(bytes), Buffer.from(bytes)] as const),
  fc
    .tuple(fc.integer({ min: 0, max: 20 * KiB }), fc.nat(99))
    .map(([bytes, seed]) => [packed(text(bytes, seed)), text(bytes, seed)] as const),
  fc
    .array(
      fc.oneof(
        fc.uint8Array({ maxLength: 100 }),
        fc.record({ byte: fc.nat(255), times: fc.integer({ min: 1, max: 128 * KiB }) }),
      ),
      { minLength: 1, maxLength: 5 },
    )
    .map((blocks) => {
      const contents = blocks.map((block) =>
        'byte' in block ? Buffer.alloc(block.times, block.byte) : Buffer.from(block),
      )
      return [buildFrame({ blocks }), Buffer.concat(contents)] as const
    }),
  fc.tuple(fc.nat(500), fc.nat(15)).map(([bytes, variant]) => {
    return [skippableFrame(bytes, variant), Buffer.alloc(0)] as const
  }),
)
const FRAMES = fc.array(FRAME, { minLength: 1, maxLength: 6 })

/** Where frames end, as it shows in parts of a file. */
function endsIn(parts: readonly Uint8Array[]): number[] {
  const ends: number[] = []
  let [offset, frame] = [0, new ZstdFrame(0)]
  for (const part of parts) {
    for (let at = 0; at < part.length; ) {
      at = frame.header ? frame.walk(part, at) : frame.readHeader(part, at)
      if (!frame.isEnded) continue
      ends.push(offset + at)
      frame = new ZstdFrame(offset + at)
    }
    offset += part.length
  }
  return ends
}

describe('the walk over the frames of a zstd file', () => {
  test('finds their ends, however the file is cut', () => {
    const cuts = fc.array(fc.nat(2 ** 20), { maxLength: 20 })
    fc.assert(
      fc.property(FRAMES, cuts, (frames, places) => {
        const file = Buffer.concat(frames.map(([frame]) => frame))
        let at = 0
        const ends = frames.map(([frame]) => {
          at += frame.length
          return at
        })
        const borders = [0, ...places.map((place) => place % (file.length + 1)), file.length]
        borders.sort((a, b) => a - b)
        const parts = borders.slice(1).map((to, i) => file.subarray(borders[i], to))
        expect(endsIn(parts)).toEqual(ends)
      }),
      { numRuns: 50 },
    )
  })

  test('goes through any bytes, or refuses them as InvalidImage', () => {
    fc.assert(
      fc.property(FRAMES, fc.array(fc.tuple(fc.nat(), fc.nat(255))), (frames, edits) => {
        const file = Buffer.concat(frames.map(([frame]) => frame))
        for (const [at, byte] of edits) file[at % file.length] = byte
        try {
          expect(endsIn([file]).every((end) => end <= file.length)).toBe(true)
        } catch (error) {
          expect(error).toMatchObject({ type: 'InvalidImage' })
        }
      }),
      { numRuns: 50 },
    )
  })
})

describe('a zstd file of frames of every kind', () => {
  test('comes out in its order', async () => {
    await fc.assert(
      fc.asyncProperty(FRAMES, async (frames) => {
        const file = Buffer.concat(frames.map(([frame]) => frame))
        const image = Buffer.concat(frames.map(([, content]) => content))
        const found = await unpackInMemory(UNPACKERS.zstd, file, image.length)
        expect(Buffer.compare(found, image)).toBe(0)
      }),
      { numRuns: 20 },
    )
  })

  const small = text(300 * KiB)
  const zeros = (blocks: number) => ({
    frame: buildFrame({
      blocks: Array.from({ length: blocks }, () => ({ byte: 0, times: 128 * KiB })),
    }),
    content: Buffer.alloc(blocks * 128 * KiB),
  })
  const large = text(9 * MiB)
  const noise = Buffer.from(
    new Uint32Array(MiB * 2).map((_, at) => Math.imul(at, 0x9e3779b1)).buffer,
  )
  test.each([
    ['one that says that it is too large to be kept', packed(large), large],
    ['one that shows by its blocks that it is', zeros(70).frame, zeros(70).content],
    [
      'one whose window is',
      buildFrame({ blocks: [small.subarray(0, 99)], windowLog: 24 }),
      small.subarray(0, 99),
    ],
    ['one that is just kept', packed(noise), noise],
    ['one of nothing', packed(Buffer.alloc(0)), Buffer.alloc(0)],
  ])('between frames that are decoded ahead: %s', async (_what, frame, content) => {
    const file = Buffer.concat([packed(small), packed(small), frame, packed(small), frame])
    const image = Buffer.concat([small, small, content, small, content])
    const found = await unpackInMemory(UNPACKERS.zstd, file, WINDOW_BYTES)
    expect(Buffer.compare(found, image)).toBe(0)
  })

  const bad = (frame: Uint8Array) => Buffer.concat([packed(small), frame, packed(small)])
  const wrongSum = packed(small)
  wrongSum[wrongSum.length - 1] = (wrongSum.at(-1) as number) ^ 1
  test.each([
    ['holds more than it says', withContentSize(packed(small), small.length - 1)],
    ['holds less than it says', withContentSize(packed(small), small.length + 1)],
    ['says that it holds nothing', withContentSize(packed(small), 0)],
    ['says that it holds 4 GiB', withContentSize(packed(small), 2 ** 32 - 1)],
    ['raw blocks: less than it says', buildFrame({ blocks: [text(9)], contentBytes: 70_000 })],
    ['has another checksum', wrongSum],
  ])('is refused with the place of a frame that %s', async (_what, frame) => {
    const unpacking = unpackInMemory(UNPACKERS.zstd, bad(frame), WINDOW_BYTES)
    await expect(unpacking).rejects.toMatchObject({
      type: 'InvalidImage',
      details: expect.stringMatching(/zstd file (is broken near byte|needs a window)/),
    })
  })
})
