import { randomBytes } from 'node:crypto'
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readPackedBeginning } from '../../../../agent/image/formats/compressed/packed-beginning.ts'
import type { InOrderFormat } from '../../../../agent/image/formats/unpackers.ts'
import { findPackedBeginning } from '../../../../agent/image/plan/packed-facts.ts'
import {
  PACKERS,
  type Packer,
  packImage,
  skippableFrame,
} from '../../../support/formats/packed-image.ts'
import { hasPackages } from '../../../support/packages.ts'
import { KiB, MiB } from './packed-lab.ts'

const canRun = hasPackages('image-formats')
const WANTED = 64 * KiB
const NEVER = new AbortController().signal

let folder = ''
let noise = ''
let zeros = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-beginning-'))
  noise = join(folder, 'noise')
  zeros = join(folder, 'zeros')
  await using file = await open(noise, 'w')
  await file.write(randomBytes(3 * MiB))
  await using empty = await open(zeros, 'w')
  await empty.truncate(256 * MiB)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

function formatOf(packer: Packer): InOrderFormat {
  if (/zstd/.test(packer)) return 'zstd'
  if (packer.startsWith('xz')) return 'xz'
  return packer === 'bzip2' ? 'bzip2' : 'gzip'
}

describe.runIf(canRun)('the beginning of what is packed', () => {
  const usual = (Object.keys(PACKERS) as Packer[]).filter((packer) => !packer.includes('--long'))

  test.each(usual)('of %s is had though nothing of it can be packed', async (packer) => {
    const packed = await packImage(noise, packer)
    const bytes = await readFile(packed.path)
    const asked: number[] = []
    const found = await findPackedBeginning({
      format: formatOf(packer),
      firstBytes: bytes.subarray(0, WANTED),
      fileBytes: bytes.length,
      readFirst: async (most) => {
        asked.push(most)
        return bytes.subarray(0, most)
      },
      signal: NEVER,
    })
    expect(found).toEqual(new Uint8Array(await readFile(noise)).subarray(0, WANTED))
    expect(asked).toEqual([MiB])
  })

  test.each(['zstd', 'gzip', 'xz', 'bzip2'] as const)(
    'of 256 MiB of zeros packed by %s is had from the first bytes, without the rest of it',
    async (packer) => {
      const packed = await readFile((await packImage(zeros, packer)).path)
      const before = process.memoryUsage().rss
      const found = await findPackedBeginning({
        format: packer,
        firstBytes: packed.subarray(0, WANTED),
        fileBytes: packed.length,
        readFirst: () => Promise.reject(new Error('asked for more')),
        signal: NEVER,
      })
      expect(found).toEqual(new Uint8Array(WANTED))
      expect(process.memoryUsage().rss - before).toBeLessThan(100 * MiB)
    },
  )

  test('is of the first frames with content, and of as many as it takes', async () => {
    const parts = [randomBytes(1000), randomBytes(100_000)]
    const file = Buffer.concat([
      skippableFrame(500),
      ...parts.flatMap((part) => [zstdCompressSync(part), skippableFrame(10)]),
    ])
    const found = await readPackedBeginning('zstd', file, WANTED, NEVER)
    expect(Buffer.from(found)).toEqual(Buffer.concat(parts).subarray(0, WANTED))
  })

  test.each([
    ['empty frames', zstdCompressSync(new Uint8Array()), 100_000],
    ['frames of one byte', zstdCompressSync(new Uint8Array(1)), 60_000],
    ['skippable frames', skippableFrame(0), 130_000],
  ])(
    'of a zstd of nothing but %s is given up before it takes minutes',
    async (_, frame, times) => {
      const file = Buffer.concat(Array.from({ length: times }, () => frame))
      const finding = findPackedBeginning({
        format: 'zstd',
        firstBytes: file.subarray(0, WANTED),
        fileBytes: file.length,
        readFirst: async (most) => file.subarray(0, most),
        signal: NEVER,
      })
      await expect(finding).rejects.toThrow(/the first \d+ bytes of the zstd file are 128 frames/)
    },
    30_000,
  )

  test.each([
    ['zstd', zstdCompressSync(randomBytes(5000))],
    ['gzip', gzipSync(randomBytes(5000))],
  ] as const)(
    'of a small %s is all that it holds, and nobody is asked for more',
    async (format, file) => {
      const found = await findPackedBeginning({
        format,
        firstBytes: file,
        fileBytes: file.length,
        readFirst: () => Promise.reject(new Error('asked for more')),
        signal: NEVER,
      })
      expect(found).toHaveLength(5000)
    },
  )

  test.each(['zstd', 'gzip', 'xz', 'bzip2'] as const)(
    'of a broken %s is not told: its hash decides what is wrong with it',
    async (format) => {
      const packed = await readFile((await packImage(noise, format)).path)
      const broken = Buffer.concat([packed.subarray(0, 40), randomBytes(WANTED - 40)])
      const found = await findPackedBeginning({
        format,
        firstBytes: broken,
        fileBytes: 3 * MiB,
        readFirst: async () => broken,
        signal: NEVER,
      })
      expect(found).toBeNull()
    },
  )

  test('is not waited for when it is cancelled', async () => {
    const packed = await readFile((await packImage(noise, 'xz')).path)
    const signal = AbortSignal.abort(new Error('cancelled'))
    await expect(readPackedBeginning('xz', packed, WANTED, signal)).rejects.toThrow('cancelled')
  })
})
