import { createCipheriv } from 'node:crypto'
import { zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ZstdFrame } from '../../../../../agent/image/formats/compressed/zstd-frame.ts'
import {
  estimatePackedBytes,
  packImage,
  type ReadRaw,
} from '../../../../../agent/image/formats/seekable/pack-image.ts'
import {
  parseSeekTable,
  SEEK_FOOTER_BYTES,
  type SeekEntry,
  seekTableBytes,
} from '../../../../../agent/image/formats/seekable/seek-table.ts'

const KiB = 1024
const MiB = 1024 * KiB
const NEVER = new AbortController().signal

const readerOf =
  (image: Uint8Array): ReadRaw =>
  async ({ offset, length }, target) => {
    target.set(image.subarray(offset, offset + length))
  }

async function packed(image: Uint8Array, pieceLength: number, signal = NEVER): Promise<Buffer> {
  const parts: Buffer[] = []
  const length = await packImage({
    read: readerOf(image),
    imageBytes: image.length,
    pieceLength,
    write: async (bytes) => void parts.push(Buffer.from(bytes)),
    signal,
    onProgress: () => undefined,
  })
  const file = Buffer.concat(parts)
  expect(file.length).toBe(length)
  return file
}

function tableOf(file: Buffer): { entries: SeekEntry[]; offset: number } {
  const bytes = seekTableBytes(file.subarray(-SEEK_FOOTER_BYTES))
  if (bytes === undefined) throw new Error('the file ends without a seek table')
  return {
    entries: parseSeekTable(file.subarray(-bytes), file.length),
    offset: file.length - bytes,
  }
}

/** The kinds of 24 KiB that an image is made of. */
const KINDS = ['zeros', 'text', 'noise'] as const
const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16))
function run(kind: (typeof KINDS)[number], bytes: number): Buffer {
  if (kind === 'zeros') return Buffer.alloc(bytes)
  const random = noise.update(Buffer.alloc(bytes))
  return kind === 'noise' ? random : Buffer.from(random.toString('hex').slice(0, bytes))
}

describe('a raw image that is packed for a swarm', () => {
  test('has frames that are whole in one piece, each of which decodes by itself to its place', async () => {
    const image = fc
      .array(fc.tuple(fc.constantFrom(...KINDS), fc.integer({ min: 1, max: 300 * KiB })), {
        minLength: 1,
        maxLength: 12,
      })
      .map((runs) => Buffer.concat(runs.map(([kind, bytes]) => run(kind, bytes))))
    const pieceLength = fc.constantFrom(16 * KiB, 48 * KiB, 256 * KiB)
    await fc.assert(
      fc.asyncProperty(image, pieceLength, async (bytes, length) => {
        const file = await packed(bytes, length)
        const { entries, offset } = tableOf(file)
        let [at, imageAt] = [0, 0]
        for (const { fileBytes, imageBytes } of entries) {
          const frame = new ZstdFrame(at)
          const data = file.subarray(at, at + fileBytes)
          expect(frame.walk(data, frame.readHeader(data, 0))).toBe(fileBytes)
          expect(frame.isEnded).toBe(true)
          expect(Math.floor((at + fileBytes - 1) / length)).toBe(Math.floor(at / length))
          if (frame.header?.isSkippable) expect(imageBytes).toBe(0)
          else {
            expect(frame.header?.contentBytes).toBe(imageBytes)
            const found = zstdDecompressSync(data)
            expect(found.equals(bytes.subarray(imageAt, imageAt + imageBytes))).toBe(true)
            // the next begins at a sector of any disk
            if (imageAt + imageBytes < bytes.length) expect(imageBytes % 4096).toBe(0)
          }
          at += fileBytes
          imageAt += imageBytes
        }
        expect([at, imageAt]).toEqual([offset, bytes.length])
        // every piece but those of the end begins with a frame of its own
        for (let border = length; border < offset; border += length) {
          expect(framesAt(entries).has(border)).toBe(true)
        }
      }),
      { numRuns: 20 },
    )
  })

  test('loses no more than a few parts in a hundred to the borders of its pieces', async () => {
    const image = Buffer.concat(
      Array.from({ length: 24 }, (_, i) => run(i % 3 === 0 ? 'noise' : 'text', 256 * KiB)),
    )
    const file = await packed(image, 256 * KiB)
    const { entries } = tableOf(file)
    const padding = entries.filter(({ imageBytes }) => imageBytes === 0)
    const lost = padding.reduce((sum, { fileBytes }) => sum + fileBytes, 0)
    expect(lost).toBeLessThan(file.length * 0.03)
  })

  test('keeps almost nothing of its holes', async () => {
    const file = await packed(new Uint8Array(64 * MiB), MiB)
    expect(file.length).toBeLessThan(64 * 100)
  })

  test('is estimated by samples of it', async () => {
    const image = Buffer.concat([run('noise', 4 * MiB), Buffer.alloc(4 * MiB)])
    const estimated = await estimatePackedBytes(readerOf(image), image.length)
    expect(estimated).toBeGreaterThan(3 * MiB)
    expect(estimated).toBeLessThan(5 * MiB)
  })

  test('ends when it is cancelled, and with what its reader throws', async () => {
    await expect(packed(run('text', MiB), 256 * KiB, AbortSignal.abort())).rejects.toMatchObject({
      type: 'CancelledError',
    })
    const broken = packImage({
      read: async ({ offset }, target) => {
        if (offset > MiB) throw new Error('the medium')
        target.fill(1)
      },
      ...{ imageBytes: 4 * MiB, pieceLength: 256 * KiB, signal: NEVER },
      write: async () => undefined,
      onProgress: () => undefined,
    })
    await expect(broken).rejects.toThrow('the medium')
  })
})

function framesAt(entries: readonly SeekEntry[]): Set<number> {
  const places = new Set<number>()
  let at = 0
  for (const { fileBytes } of entries) {
    places.add(at)
    at += fileBytes
  }
  return places
}
