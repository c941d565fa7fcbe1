import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import {
  createTorrent,
  defaultPieceLength,
} from '../../../../../agent/sources/swarm/torrent/create-torrent.ts'

const KiB = 1024
const GiB = 1024 ** 3
const reader = (image: Uint8Array) => ({
  name: 'image.raw',
  read: async ({ offset, length }: { offset: number; length: number }) =>
    image.subarray(offset, offset + length),
})

test('each piece has its SHA-1, the last one of what is left', async () => {
  const image = Buffer.alloc(40_000, 'a')
  const progress: number[] = []
  const { metainfo } = await createTorrent({
    image: reader(image),
    lengthBytes: image.length,
    pieceLength: 16 * KiB,
    trackers: ['http://t/announce'],
    webSeeds: ['http://w/image.raw'],
    isPrivate: true,
    onProgress: (doneBytes) => progress.push(doneBytes),
  })
  const expected = [0, 16_384, 32_768].map((at) =>
    createHash('sha1')
      .update(image.subarray(at, at + 16_384))
      .digest('hex'),
  )
  expect(Buffer.from(metainfo.pieces).toString('hex')).toBe(expected.join(''))
  expect(metainfo).toMatchObject({
    name: 'image.raw',
    isPrivate: true,
    trackers: [['http://t/announce']],
    webSeeds: ['http://w/image.raw'],
  })
  expect(progress).toEqual([16_384, 32_768, 40_000])
})

test('an image that ends early, or an unfit piece length, is an error that says what to change', async () => {
  const image = reader(new Uint8Array(100))
  await expect(createTorrent({ image, lengthBytes: 200 })).rejects.toThrow(/ends at byte 100/)
  for (const pieceLength of [1000, -16_384, 32 * 1024 * KiB, 0.5]) {
    await expect(createTorrent({ image, lengthBytes: 100, pieceLength })).rejects.toMatchObject({
      type: 'InvalidConfigError',
    })
  }
  await expect(createTorrent({ image, lengthBytes: 0 })).rejects.toThrow(/empty image/)
})

test('piece lengths keep the number of pieces between what a swarm and a table can bear', () => {
  expect(defaultPieceLength(1)).toBe(256 * KiB)
  expect(defaultPieceLength(256 * 1024 * KiB)).toBe(256 * KiB)
  expect(defaultPieceLength(2 * GiB)).toBe(1024 * KiB)
  expect(defaultPieceLength(3 * GiB)).toBe(1024 * KiB)
  expect(defaultPieceLength(4 * GiB)).toBe(2048 * KiB)
  expect(defaultPieceLength(16 * GiB)).toBe(4096 * KiB)
  expect(defaultPieceLength(300 * GiB)).toBe(8192 * KiB)
  expect(defaultPieceLength(4000 * GiB)).toBe(16_384 * KiB)
})
