import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BlockDevice, openBlockDevice } from '../../../agent/disk/block-device.ts'
import { createClusterLayout } from '../../../agent/image/formats/qcow2/straight/cluster-layout.ts'
import { createClusterMapMaker } from '../../../agent/image/formats/qcow2/straight/cluster-map.ts'
import { createRawLayout } from '../../../agent/image/formats/raw.ts'
import { createTrailingReadBack } from '../../../agent/image/proof/trailing-read-back.ts'
import { createWriteJournal } from '../../../agent/image/proof/write-journal.ts'
import { createImageOnDisk, type ImageOnDisk } from '../../../agent/image/transfer/image-on-disk.ts'
import { writeTo } from '../../../agent/image/transfer/sinks.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { MiB } from './deploy-lab.ts'

const SIZE = 100 * MiB + 12_345
const HELD = [
  { offset: 0, length: MiB },
  { offset: SIZE - 1000, length: 1000 },
]
let folder = ''
let image: Buffer

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-read-back-'))
  image = randomBytes(SIZE)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A disk with the image on it, but for the held-back bytes. */
async function openDisk(
  sizeBytes = SIZE,
  at = 0,
): Promise<{ device: BlockDevice; image: ImageOnDisk; coverage: ImageOnDisk['coverage'] }> {
  const path = join(folder, 'disk')
  const diskBytes = at + SIZE + 8 * MiB - ((at + SIZE) % MiB)
  const content = Buffer.alloc(diskBytes)
  image.copy(content, at)
  const holdBack = HELD.map(({ offset, length }) => ({ offset: at + offset, length }))
  const onDisk = createImageOnDisk({
    sizeBytes,
    layout: createRawLayout(sizeBytes, { offset: at, length: Number.MAX_SAFE_INTEGER }),
    holdBack,
  })
  onDisk.held.take({ offset: at, data: image, from: 'origin' })
  for (const { offset, length } of holdBack) content.fill(0, offset, offset + length)
  await writeFile(path, content)
  const device = await openBlockDevice(path, { mode: 'write', root: createRoot('/') })
  return { device, image: onDisk, coverage: onDisk.coverage }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

const never = new AbortController().signal

describe('the read-back', () => {
  test.each([
    ['at the end', false, 0],
    ['while the image comes in', true, 0],
    ['of a window of the disk at the end', false, 3 * MiB],
    ['of a window of the disk while the image comes in', true, 3 * MiB],
    ['of a window that no sector begins with', true, 5 * MiB + 77],
  ])('%s hashes the disk together with what is held back', async (_, isTrailing, at) => {
    const { device, image: onDisk, coverage } = await openDisk(SIZE, at)
    await using _device = device
    await using readBack = createTrailingReadBack({
      device,
      algo: 'sha256',
      image: onDisk,
      isTrailing,
    })
    for (let done = 0; done < SIZE; done += MiB) {
      coverage.add({ offset: done, length: Math.min(MiB, SIZE - done) })
      readBack.covered()
    }
    let reported = 0
    const before = readBack.doneBytes
    const digest = await readBack.finish((bytes) => {
      reported += bytes
    }, never)
    expect(digest).toBe(sha256(image))
    expect(reported).toBeGreaterThan(0)
    expect(readBack.doneBytes).toBe(SIZE)
    expect(before).toBeLessThanOrEqual(SIZE)
  })

  test('waits for what comes last of a range that is held back, wherever in the file it is', async () => {
    // the first MiB of the disk is a half from the file's beginning and one from its end
    const half = MiB / 2
    const maker = createClusterMapMaker({ fileBytes: SIZE, virtualBytes: SIZE })
    maker.add({ host: 0, guest: 0, length: half })
    maker.add({ host: SIZE - half, guest: half, length: half })
    maker.add({ host: half, guest: MiB, length: SIZE - MiB })
    const map = maker.finish()
    if ('why' in map) throw new Error(map.why)
    const window = { offset: 0, length: SIZE }
    const layout = createClusterLayout(map, window, { offset: SIZE, length: 0 })
    const onDisk = createImageOnDisk({
      sizeBytes: SIZE,
      layout,
      holdBack: [{ offset: 0, length: MiB }],
    })
    const path = join(folder, 'straight')
    await writeFile(path, Buffer.alloc(SIZE + 8 * MiB - (SIZE % MiB)))
    await using device = await openBlockDevice(path, { mode: 'write', root: createRoot('/') })
    await using readBack = createTrailingReadBack({
      device,
      algo: 'sha256',
      image: onDisk,
      isTrailing: true,
    })
    const bring = async (offset: number, end: number) => {
      const data = image.subarray(offset, end)
      for (const placed of layout.place({ offset, data, from: 'origin' })) {
        for (const part of onDisk.held.take(placed)) await device.write(part.offset, part.data)
      }
      onDisk.coverage.add({ offset, length: end - offset })
      readBack.covered()
    }
    await bring(0, SIZE - half)
    while (readBack.doneBytes < 16 * MiB) await new Promise((resolve) => setTimeout(resolve, 5))
    await bring(SIZE - half, SIZE)
    expect(await readBack.finish(() => undefined, never)).toBe(sha256(image))
  })

  test('begins anew when bytes it has read are written again', async () => {
    const { device, image: onDisk, coverage } = await openDisk()
    await using _device = device
    await using readBack = createTrailingReadBack({
      device,
      algo: 'sha256',
      image: onDisk,
      isTrailing: true,
    })
    coverage.add({ offset: 0, length: SIZE })
    readBack.covered()
    while (readBack.doneBytes < 16 * MiB) await new Promise((resolve) => setTimeout(resolve, 5))
    const changed = Buffer.from(image)
    changed.fill(0x11, 2 * MiB, 3 * MiB)
    readBack.rewritten({ offset: 2 * MiB, length: MiB })
    await device.write(2 * MiB, changed.subarray(2 * MiB, 3 * MiB))
    expect(await readBack.finish(() => undefined, never)).toBe(sha256(changed))
  })

  test('has a limit longer than any timer can wait, if the operator says so', async () => {
    const { device, image: onDisk } = await openDisk()
    await using _device = device
    await using readBack = createTrailingReadBack({
      device: { ...device, timeoutMs: 2 ** 31 },
      algo: 'sha256',
      image: onDisk,
      isTrailing: false,
    })
    expect(await readBack.finish(() => undefined, never)).toBe(sha256(image))
  })

  test('ends at once when it is aborted', async () => {
    const { device, image: onDisk } = await openDisk()
    await using _device = device
    await using readBack = createTrailingReadBack({
      device,
      algo: 'sha256',
      image: onDisk,
      isTrailing: false,
    })
    const controller = new AbortController()
    const reading = readBack.finish(() => controller.abort(new Error('enough')), controller.signal)
    await expect(reading).rejects.toThrow('enough')
  })

  test('of a disk shorter than the image says where it ends', async () => {
    const { device, image: onDisk } = await openDisk(SIZE + 64 * MiB)
    await using _device = device
    await using readBack = createTrailingReadBack({
      device,
      algo: 'sha256',
      image: onDisk,
      isTrailing: false,
    })
    await expect(readBack.finish(() => undefined, never)).rejects.toMatchObject({
      type: 'BlockDeviceError',
    })
  })
})

describe('the write journal', () => {
  test.each([
    ['its own sums', () => ({})],
    ['sums of the source', (data: Buffer) => ({ sha1: createHash('sha1').update(data).digest() })],
  ])('finds the extent that reads otherwise than it was written, by %s', async (_, sumsOf) => {
    const { device } = await openDisk()
    await using _device = device
    const journal = createWriteJournal()
    const sink = journal.sinkTo(writeTo(device))
    for (const offset of [2 * MiB, 4 * MiB, 9 * MiB]) {
      const data = randomBytes(5 * MiB - 77)
      await sink.write({ offset, data, from: 'peers', ...sumsOf(data) })
      journal.forget([{ offset: 4 * MiB, length: 1 }])
    }
    expect(await journal.findDifference(device, never)).toBeUndefined()
    await device.write(12 * MiB, new Uint8Array(1))
    expect(await journal.findDifference(device, never)).toMatchObject({ offset: 9 * MiB })
  })
})

describe('the image on the disk', () => {
  test('is the held-back bytes from memory and the others from the disk, as they were sent', async () => {
    const { device, image: original, coverage } = await openDisk()
    await using _device = device
    coverage.add({ offset: 0, length: SIZE })
    // the disk's own partition table, later
    await device.write(0, Buffer.alloc(4096, 1))
    const wholes = { offset: 0, length: 64 * 1024 }
    expect(Buffer.from(await original.read(wholes))).toEqual(image.subarray(0, 64 * 1024))
    original.useDevice(device)
    for (const range of [
      { offset: MiB - 100, length: 300 },
      { offset: 5 * MiB + 1, length: 70_000 },
      { offset: SIZE - 2000, length: 2000 },
    ]) {
      const { offset, length } = range
      const bytes = Buffer.from(await original.read(range))
      expect(bytes.equals(image.subarray(offset, offset + length))).toBe(true)
      const target = new Uint8Array(length)
      expect(await original.read(range, target)).toBe(target)
      expect(bytes.equals(target)).toBe(true)
    }
  })

  test('refuses bytes that are not there, or no longer', async () => {
    const { device, image: original, coverage } = await openDisk()
    await using _device = device
    coverage.add({ offset: 0, length: 10 * MiB })
    const read = (offset: number, length: number) => original.read({ offset, length })
    await expect(read(2 * MiB, 10)).rejects.toThrow(/not on the disk/)
    original.useDevice(device)
    await expect(read(2 * MiB, 10)).resolves.toHaveLength(10)
    await expect(read(10 * MiB - 5, 10)).rejects.toThrow(/not on the disk/)
    original.overwritten({ offset: 3 * MiB, length: MiB })
    await expect(read(3 * MiB - 5, 10)).rejects.toThrow(/not on the disk/)
    await expect(read(4 * MiB, 10)).resolves.toHaveLength(10)
  })
})
