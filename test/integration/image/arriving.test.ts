import { randomBytes } from 'node:crypto'
import { open, readFile, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { Progress } from '../../../agent/core/events.ts'
import { differencesFromImage } from '../../support/compare-disk.ts'
import { describeImage } from '../../support/disk-image.ts'
import { convertImage, packImage } from '../../support/formats/packed-image.ts'
import { createHttpOrigin, type HttpOriginFaults } from '../../support/http-origin.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { openersOf } from '../../support/openers.ts'
import { hasPackages } from '../../support/packages.ts'
import { startTracker } from '../../support/tracker.ts'
import { createDeployLab, type DeployLabOptions, deployTo, MiB, seedImage } from './deploy-lab.ts'

const canRun =
  hasLoopDevices('deploys of images that are unpacked as they come') &&
  hasPackages('agent') &&
  hasPackages('image-formats')
const IMAGE_BYTES = 40 * MiB

type Packer = 'zstd' | 'gzip' | 'xz' | 'qcow2'

/** A qcow2 has compressed clusters, and its tables where its data begins. */
async function createArrivingLab(
  packer: Packer,
  faults: HttpOriginFaults = {},
  options: DeployLabOptions = {},
) {
  await using stack = new AsyncDisposableStack()
  const lab = stack.use(await createDeployLab({ imageBytes: IMAGE_BYTES, ...options }))
  await fillWithNoise(lab.image.path)
  const packed =
    packer === 'qcow2'
      ? await convertImage(lab.image.path, 'qcow2', ['-c'])
      : await packImage(lab.image.path, packer)
  const origin = stack.use(await createHttpOrigin({ path: packed.path, faults }))
  const info = lab.imageInfo({
    urls: [origin.url],
    os_hash_value: packed.sha256,
    disk_format: packer === 'qcow2' ? 'qcow2' : 'raw',
  })
  const kept = stack.move()
  return { lab, packed, origin, info, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

/** So that the packed file has some megabytes too. */
async function fillWithNoise(path: string): Promise<void> {
  await using image = await open(path, 'r+')
  await image.write(randomBytes(16 * MiB), 0, 16 * MiB, 8 * MiB)
}

/** Called when the first byte of the image itself is about to be asked for, and from then on. */
function whenFetching(act: (doneBytes: number) => void) {
  return ({ step, done }: Progress) => {
    if (step === 'fetch') act(done)
  }
}

async function firstSectorOf(path: string): Promise<Buffer> {
  await using disk = await open(path)
  return (await disk.read(Buffer.alloc(512), 0, 512, 0)).buffer
}

describe.runIf(canRun)('an image that is unpacked as it comes', () => {
  test.for(['zstd', 'gzip', 'xz', 'qcow2'] as const)(
    'of %s goes on where its server broke off',
    async (packer) => {
      await using at = await createArrivingLab(packer)
      await deployTo(at.lab.disk.path, at.info, {
        onProgress: whenFetching(() => {
          at.origin.faults.resetAfterBytes = [6 * MiB]
          at.origin.faults.truncateAfterBytes = [2 * MiB]
        }),
      })
      expect(await differencesFromImage(at.lab.disk.path, at.lab.image.path)).toEqual([])
      const later = at.origin.requests.filter(({ range }) => range && !range.startsWith('bytes=0-'))
      expect(later.length).toBeGreaterThanOrEqual(2)
      expect(await openersOf(at.lab.disk.path)).toEqual([])
    },
  )

  test.for(['zstd', 'qcow2'] as const)(
    'begins anew where its server has another version of it (%s)',
    async (packer) => {
      await using at = await createArrivingLab(packer)
      const bytes = await readFile(at.packed.path)
      const older = Buffer.from(bytes).fill(0x55, MiB, 2 * MiB)
      await using origin = await createHttpOrigin({
        bytes: older,
        faults: { rateBytesPerSecond: 6 * MiB },
      })
      const info = { ...at.info, urls: [origin.url] }
      const lines: string[] = []
      await deployTo(at.lab.disk.path, info, {
        onProgress: whenFetching((doneBytes) => {
          if (doneBytes === 0) origin.faults.resetAfterBytes = [9 * MiB]
          else origin.replace(bytes)
        }),
        onLog: (line) => lines.push(line),
      })
      expect(lines.join('')).toContain('image changed on the server, starting over')
      expect(await differencesFromImage(at.lab.disk.path, at.lab.image.path)).toEqual([])
    },
  )

  test.for(['zstd', 'qcow2'] as const)(
    'is refused by its hash, whatever the decoder made of it (%s)',
    async (packer) => {
      await using at = await createArrivingLab(packer, { corruptAt: 2 * MiB })
      await expect(deployTo(at.lab.disk.path, at.info)).rejects.toMatchObject({
        type: 'ImageChecksumError',
        details: expect.stringMatching(
          /sha256 of the \d+ bytes that came is [0-9a-f]{64}, image_info says/,
        ),
      })
      expect((await firstSectorOf(at.lab.disk.path)).every((byte) => byte === 0)).toBe(true)
      expect(await openersOf(at.lab.disk.path)).toEqual([])
    },
  )

  test('is refused as broken where its hash is the expected one', async () => {
    await using at = await createArrivingLab('zstd')
    const bytes = await readFile(at.packed.path)
    bytes.fill(0x55, 3 * MiB, 3 * MiB + 4096)
    const path = `${at.packed.path}.broken`
    await writeFile(path, bytes)
    const { sha256 } = await describeImage(path)
    await using origin = await createHttpOrigin({ path })
    const info = { ...at.info, urls: [origin.url], os_hash_value: sha256 }
    await expect(deployTo(at.lab.disk.path, info)).rejects.toMatchObject({
      type: 'InvalidImage',
      details: expect.stringContaining('Its hash is the expected one'),
    })
    expect((await firstSectorOf(at.lab.disk.path)).every((byte) => byte === 0)).toBe(true)
  })

  test.for(['zstd', 'qcow2'] as const)(
    'needs no room for the file beside it (%s)',
    async (packer) => {
      const disk = { sizeBytes: IMAGE_BYTES + MiB }
      await using at = await createArrivingLab(packer, {}, { disk })
      await deployTo(at.lab.disk.path, at.info)
      expect(await differencesFromImage(at.lab.disk.path, at.lab.image.path)).toEqual([])
    },
  )

  test.for(['zstd', 'qcow2'] as const)(
    'comes by HTTP and says so where the disk has no room to serve a swarm from (%s)',
    async (packer) => {
      const disk = { sizeBytes: IMAGE_BYTES + MiB }
      await using at = await createArrivingLab(packer, {}, { disk })
      await using tracker = await startTracker()
      await using torrent = await seedImage(at.packed, tracker.url)
      const info = { ...at.info, torrent: torrent.payload }
      const lines: string[] = []
      const deployed = await deployTo(at.lab.disk.path, info, {
        config: { swarm_mode: 'auto' },
        onLog: (line) => lines.push(line),
      })
      expect(deployed.bytes).toEqual({ origin: at.packed.sizeBytes, peers: 0, file: 0 })
      expect(lines.join('')).toContain(
        'no swarm, the image is unpacked in its order as it comes by HTTP',
      )
      const required = deployTo(at.lab.disk.path, info, { config: { swarm_mode: 'require' } })
      await expect(required).rejects.toMatchObject({ type: 'InvalidImage' })
    },
  )

  test.for(['zstd', 'qcow2'] as const)(
    'has one clock for all attempts of its download (%s)',
    async (packer) => {
      await using at = await createArrivingLab(packer, { rateBytesPerSecond: 2 * MiB })
      const config = { image_download_max_duration: 3, image_download_connection_retries: 100 }
      const deploying = deployTo(at.lab.disk.path, at.info, {
        config,
        // no attempt takes a second, all of them together more than five
        onProgress: whenFetching(() => {
          at.origin.faults.resetAfterBytes ??= Array.from({ length: 100 }, () => MiB)
        }),
      })
      await expect(deploying).rejects.toMatchObject({ type: 'ImageDownloadTimeoutError' })
      expect((await firstSectorOf(at.lab.disk.path)).every((byte) => byte === 0)).toBe(true)
      expect(await openersOf(at.lab.disk.path)).toEqual([])
    },
  )

  test('leaves nothing open when it is cancelled in mid-way', async () => {
    await using at = await createArrivingLab('xz', { rateBytesPerSecond: 2 * MiB })
    const controller = new AbortController()
    const deploying = deployTo(at.lab.disk.path, at.info, {
      signal: controller.signal,
      onProgress: ({ step, done }) => {
        if (step === 'fetch' && done > 0) controller.abort()
      },
    })
    await expect(deploying).rejects.toMatchObject({ type: 'CancelledError' })
    expect((await firstSectorOf(at.lab.disk.path)).every((byte) => byte === 0)).toBe(true)
    expect(await openersOf(at.lab.disk.path)).toEqual([])
  })
})
