import { createCipheriv } from 'node:crypto'
import { mkdtemp, open, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { unpackQcow2 } from '../../../../agent/image/formats/qcow2/unpack.ts'
import { arrivingUnpack } from '../../../support/formats/arriving-qcow2.ts'
import {
  buildQcow2,
  compressedEntry,
  DATA_AT,
  L2_AT,
  type SmallQcow2,
} from '../../../support/formats/qcow2-builder.ts'
import { NotStraightError, unpackStraight } from '../../../support/formats/straight-qcow2.ts'
import { hasPackages } from '../../../support/packages.ts'
import { KiB, MiB, makeQcow2, run, unpackAndCompare } from './qcow2-lab.ts'

const canRun = hasPackages('image-formats')
/** No multiple of any cluster but the smallest. */
const SOURCE_BYTES = 9 * MiB + 512
let folder = ''
let image = ''

/** Text that deflates to a part, between noise that does not and holes. */
async function writeSource(path: string) {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 3), Buffer.alloc(16))
  await using file = await open(path, 'w')
  for (let offset = 0; offset < SOURCE_BYTES; offset += 256 * KiB) {
    const length = Math.min(256 * KiB, SOURCE_BYTES - offset)
    const noise = cipher.update(Buffer.alloc(length))
    const kind = (offset / (256 * KiB)) % 4
    if (kind === 3) continue
    const bytes = kind === 0 ? noise : Buffer.from(noise.toString('hex').slice(0, length))
    await file.write(bytes, 0, length, offset)
  }
  await file.truncate(SOURCE_BYTES)
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-qcow2-'))
  image = join(folder, 'image.qcow2')
  await writeSource(join(folder, 'source.raw'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** By `qemu-img convert`. */
async function convert(options: string, ...flags: string[]) {
  const source = join(folder, 'source.raw')
  const from = ['-f', 'raw', '-O', 'qcow2', '-o', options]
  await run('qemu-img', ['convert', ...flags, ...from, source, image])
}

const CLUSTERS = ['512', '4k', '16k', '64k', '1M', '2M']

describe.runIf(canRun)('a qcow2 of qemu-img convert', () => {
  test.each([
    ...CLUSTERS.map((size) => ['', `cluster_size=${size}`]),
    ...CLUSTERS.map((size) => ['', `compat=0.10,cluster_size=${size}`]),
    ...CLUSTERS.map((size) => ['-c', `cluster_size=${size}`]),
    ...CLUSTERS.map((size) => ['-c', `compression_type=zstd,cluster_size=${size}`]),
    ['-c', 'compat=0.10'],
    ['', 'lazy_refcounts=on'],
    ['', 'preallocation=metadata'],
    ['', 'preallocation=full'],
    ['', 'refcount_bits=64'],
    ...['16k', '64k', '2M'].map((size) => ['', `extended_l2=on,cluster_size=${size}`]),
    ['-c', 'extended_l2=on'],
    ['-c', 'extended_l2=on,compression_type=zstd,cluster_size=2M'],
  ])('is unpacked to what qemu-img reads in it (%s %s)', async (flag = '', options = '') => {
    await convert(options, ...(flag === '' ? [] : [flag]))
    const unpacked = await unpackAndCompare(folder, image)
    expect(unpacked.imageBytes).toBe(SOURCE_BYTES)
    expect(unpacked.writtenBytes + unpacked.zeroedBytes).toBe(SOURCE_BYTES)
    const arrived = await unpackAndCompare(folder, image, { unpack: arrivingUnpack() })
    expect(arrived.writtenBytes + arrived.zeroedBytes).toBe(SOURCE_BYTES)
    const straight = unpackAndCompare(folder, image, { unpack: unpackStraight })
    if (flag === '-c') return await expect(straight).rejects.toThrow(NotStraightError)
    expect(await straight).toMatchObject({ imageBytes: SOURCE_BYTES })
  })

  test.each(['metadata', 'falloc', 'full'])(
    'goes straight to its places, preallocated (%s)',
    async (preallocation) => {
      await makeQcow2(image, `preallocation=${preallocation}`, 3 * MiB, [
        { how: 'write', offset: 70 * KiB, length: MiB, pattern: 1 },
        { how: 'zero', offset: 512 * KiB, length: 256 * KiB, pattern: 0 },
      ])
      const unpacked = await unpackAndCompare(folder, image, { unpack: unpackStraight })
      expect(unpacked.writtenBytes + unpacked.zeroedBytes).toBe(3 * MiB)
    },
  )

  test('goes straight to its places, made larger, smaller, with a snapshot and trailing bytes', async () => {
    await makeQcow2(image, 'cluster_size=4k', 2 * MiB, [
      { how: 'write', offset: 0, length: 2 * MiB, pattern: 1 },
    ])
    await run('qemu-img', ['resize', '-q', image, String(5 * MiB)])
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 2 3M 1M', image])
    await unpackAndCompare(folder, image, { unpack: unpackStraight })
    await run('qemu-img', ['resize', '-q', '--shrink', image, String(3 * MiB + 512)])
    await run('qemu-img', ['snapshot', '-c', 'before', image])
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 3 100k 200k', image])
    await run('truncate', ['--size=+123457', image])
    await unpackAndCompare(folder, image, { unpack: unpackStraight })
  })
})

describe.runIf(canRun)('a qcow2 that a guest has written to', () => {
  test.each([
    ['is unpacked', unpackQcow2, 25],
    ['goes straight', unpackStraight, 12],
    ['is unpacked as it comes', arrivingUnpack(), 12],
  ])(
    '%s to what qemu-img reads in it, whatever was written, zeroed and discarded',
    async (_, unpack, numRuns) => {
      const sizeBytes = 3 * MiB + 1536
      const write = fc
        .record({
          offset: fc.integer({ min: 0, max: sizeBytes / 512 - 1 }).map((sector) => sector * 512),
          sectors: fc.oneof(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: 2048 })),
          how: fc.constantFrom('write', 'write', 'zero', 'discard'),
          pattern: fc.integer({ min: 1, max: 255 }),
        })
        .map(({ sectors, ...write }) => ({
          ...write,
          length: Math.min(sectors * 512, sizeBytes - write.offset),
        }))
      const options = fc.constantFrom(
        ...['512', '1k', '4k', '32k', '64k', '512k', '2M'].map((size) => `cluster_size=${size}`),
        'compat=0.10',
        'compat=0.10,cluster_size=512',
        'lazy_refcounts=on,cluster_size=4k',
        'extended_l2=on,cluster_size=16k',
        'extended_l2=on,cluster_size=64k',
        'extended_l2=on,cluster_size=2M',
      )
      const property = fc.asyncProperty(
        options,
        fc.array(write, { maxLength: 24 }),
        async (made, writes) => {
          await makeQcow2(image, made, sizeBytes, writes)
          const unpacked = await unpackAndCompare(folder, image, { slackBytes: 0, unpack })
          expect(unpacked.imageBytes).toBe(sizeBytes)
          expect(unpacked.writtenBytes + unpacked.zeroedBytes).toBe(sizeBytes)
        },
      )
      await fc.assert(property, { numRuns })
    },
  )

  test('is unpacked while it is marked dirty, as a machine that lost power leaves it', async () => {
    await makeQcow2(image, 'lazy_refcounts=on', 4 * MiB, [])
    const crash = ['-c', 'write -P 9 5k 700k', '-c', 'flush', '-c', 'abort']
    await expect(run('qemu-io', ['-f', 'qcow2', ...crash, image])).rejects.toThrow()
    const { stdout } = await run('qemu-img', ['info', '--output=json', image])
    expect(JSON.parse(stdout)['dirty-flag']).toBe(true)
    await unpackAndCompare(folder, image)
  })

  test('is unpacked as it is, not as a snapshot was', async () => {
    await makeQcow2(image, 'cluster_size=4k', 2 * MiB, [
      { how: 'write', offset: 0, length: MiB, pattern: 1 },
    ])
    await run('qemu-img', ['snapshot', '-c', 'before', image])
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 2 4k 100k', image])
    await unpackAndCompare(folder, image)
  })

  test('has compressed clusters between others', async () => {
    await makeQcow2(image, 'cluster_size=64k', 2 * MiB, [
      { how: 'compressed', offset: 0, length: 64 * KiB, pattern: 1 },
      { how: 'write', offset: 64 * KiB, length: 64 * KiB, pattern: 2 },
      { how: 'compressed', offset: 192 * KiB, length: 64 * KiB, pattern: 3 },
      { how: 'compressed', offset: 128 * KiB, length: 64 * KiB, pattern: 4 },
      { how: 'write', offset: 194 * KiB, length: 512, pattern: 5 },
    ])
    await unpackAndCompare(folder, image)
    await unpackAndCompare(folder, image, { unpack: arrivingUnpack() })
  })
})

describe.runIf(canRun)('what follows the image in its file', () => {
  test('is left out', async () => {
    await convert('cluster_size=64k', '-c')
    const { size } = await stat(image)
    await truncate(image, size + 123_457)
    await unpackAndCompare(folder, image)
    await unpackAndCompare(folder, image, { unpack: arrivingUnpack() })
    await convert('cluster_size=64k')
    await truncate(image, (await stat(image)).size + 123_457)
    await unpackAndCompare(folder, image, { unpack: unpackStraight })
  })
})

const BLOCK = 65_536
const packed = (byte: number) =>
  deflateRawSync(new Uint8Array(BLOCK).fill(byte), { windowBits: 12 })
/** QEMU wants a refcount table, though it needs none to read: an empty one, before the data. */
const REFCOUNTS = { refcountTableOffset: DATA_AT, refcountTableClusters: 1 }
const AT = BigInt(DATA_AT + BLOCK)

describe.runIf(canRun)('a qcow2 that no program makes and QEMU reads', () => {
  test.each<[string, SmallQcow2, Uint8Array]>([
    ['a cluster that two places share', { l2: [AT, 0n, AT] }, Buffer.alloc(BLOCK, 5)],
    ['a last cluster that the file has a part of', { l2: [0n, AT] }, Buffer.alloc(1000, 6)],
    [
      'compressed clusters said to be longer than they are and than the file is',
      {
        l2: [
          compressedEntry(Number(AT) + 100, 255),
          compressedEntry(Number(AT) + 100 + packed(8).length, 200),
        ],
      },
      Buffer.concat([Buffer.alloc(100), packed(8), packed(9)]),
    ],
    [
      'reserved bits of entries',
      { l1: [BigInt(L2_AT) | (1n << 60n)], l2: [AT | (1n << 60n) | 0x1fen] },
      Buffer.alloc(BLOCK, 7),
    ],
  ])('is unpacked to what QEMU reads: %s', async (what, parts, data) => {
    const file = buildQcow2({
      ...parts,
      fields: REFCOUNTS,
      data: Buffer.concat([Buffer.alloc(BLOCK), data]),
    })
    await writeFile(image, file)
    await unpackAndCompare(folder, image)
    await unpackAndCompare(folder, image, { unpack: arrivingUnpack() })
    const straight = unpackAndCompare(folder, image, { unpack: unpackStraight })
    if (/share|compressed/.test(what)) await expect(straight).rejects.toThrow(NotStraightError)
    else await straight
  })
})
