import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { Config } from '../../../agent/config/options.ts'
import type { Progress } from '../../../agent/core/events.ts'
import { differencesFromImage } from '../../support/compare-disk.ts'
import { describeImage } from '../../support/disk-image.ts'
import { convertImage } from '../../support/formats/packed-image.ts'
import { createHttpOrigin, type HttpOriginFaults } from '../../support/http-origin.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { openersOf } from '../../support/openers.ts'
import { hasPackages } from '../../support/packages.ts'
import { ROOT_UUID } from '../../support/root-image.ts'
import { startTracker } from '../../support/tracker.ts'
import { createDeployLab, type DeployLab, deployTo, MiB, seedImage } from './deploy-lab.ts'
import { createPartitionLab, onWindow, sha256Of } from './partition-lab.ts'

const run = promisify(execFile)
const canRun =
  hasLoopDevices('deploys of qcow2') && hasPackages('agent') && hasPackages('image-formats')

const STRAIGHT = ['prepare', 'fetch', 'read-back', 'commit', 'done']
const KEPT = ['prepare', 'fetch', 'read-back', 'unpack', 'commit', 'done']

/** Image and disk, and what the first half of the image was is zero. */
async function createLab(imageBytes = 24 * MiB, spareBytes = 4 * MiB): Promise<DeployLab> {
  const lab = await createDeployLab({ imageBytes, disk: { sizeBytes: imageBytes + spareBytes } })
  const hole = ['conv=notrunc', 'bs=1M', 'seek=8', `count=${imageBytes / MiB / 2 - 8}`]
  await run('dd', ['if=/dev/zero', `of=${lab.image.path}`, 'status=none', ...hole])
  return lab
}

/** Of the first MiB the guest wrote a part first, and the others last: they lie at the end of the file. */
async function convertBackwards(lab: DeployLab, imageBytes: number) {
  const path = `${lab.image.path}.qcow2`
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', path, String(imageBytes)])
  const writes = [[0, 64 * 1024] as const, [MiB, imageBytes - MiB] as const]
  for (let at = MiB - 64 * 1024; at > 0; at -= 64 * 1024) writes.push([at, 64 * 1024])
  const commands = writes.flatMap(([at, length]) => ['-c', `write -q ${at} ${length}`])
  await run('qemu-io', ['-f', 'qcow2', ...commands, path])
  await run('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'qcow2', lab.image.path, path])
  return await describeImage(path)
}

async function deployFrom(
  lab: DeployLab,
  file: { path: string; sha256: string },
  faults: HttpOriginFaults = {},
  config: Partial<Config> = {},
) {
  await using origin = await createHttpOrigin({ path: file.path, faults })
  const steps: Progress[] = []
  const lines: string[] = []
  const info = lab.imageInfo({
    urls: [origin.url],
    os_hash_value: file.sha256,
    disk_format: 'qcow2',
  })
  const deployed = await deployTo(lab.disk.path, info, {
    config,
    onProgress: (progress) => steps.push(progress),
    onLog: (line) => lines.push(line),
  })
  const plan = lines.find((line) => line.includes('image planned')) ?? ''
  return { deployed, steps: [...new Set(steps.map(({ step }) => step))], plan }
}

describe.runIf(canRun)('a qcow2 without compressed clusters', () => {
  test('goes straight to its places, on a disk that has no room for the file besides', async () => {
    await using lab = await createLab()
    const file = await convertImage(lab.image.path, 'qcow2')
    const { deployed, steps, plan } = await deployFrom(lab, file)
    expect(steps).toEqual(STRAIGHT)
    expect(plan).toContain('the clusters straight to their places from byte 0 on')
    expect(deployed.bytes).toEqual({ origin: file.sizeBytes, peers: 0, file: 0 })
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
    expect(await openersOf(lab.disk.path)).toEqual([])
  })

  test('is unpacked in its order onto a disk of exactly its size, which has no room for the rest of the file', async () => {
    await using lab = await createLab(24 * MiB, 0)
    const file = await convertImage(lab.image.path, 'qcow2')
    const { deployed, steps, plan } = await deployFrom(lab, file)
    expect(steps).toEqual(STRAIGHT)
    expect(plan).toContain('fetch from http and unpack the qcow2 to bytes 0–25165823')
    expect(deployed.bytes).toEqual({ origin: file.sizeBytes, peers: 0, file: 0 })
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
    expect(await openersOf(lab.disk.path)).toEqual([])
  })

  test('is all there where of its holes, which the disk made zero, samples are read back', async () => {
    await using lab = await createLab(64 * MiB)
    const file = await convertImage(lab.image.path, 'qcow2')
    const { steps } = await deployFrom(lab, file, {}, { zeroes_verify: 'sample' })
    expect(steps).toEqual(STRAIGHT)
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
  })

  test('goes there when what boots came last, and is read back while the rest comes in', async () => {
    const imageBytes = 112 * MiB
    await using lab = await createDeployLab({ imageBytes })
    const file = await convertBackwards(lab, imageBytes)
    const { steps } = await deployFrom(lab, file)
    expect(steps).toEqual(STRAIGHT)
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
  })

  test('goes there from the swarm, and is served from there', async () => {
    await using lab = await createLab()
    const file = await convertImage(lab.image.path, 'qcow2')
    await using origin = await createHttpOrigin({ path: file.path })
    await using tracker = await startTracker()
    const torrent = await seedImage(file, tracker.url)
    const info = lab.imageInfo({
      urls: [origin.url],
      os_hash_value: file.sha256,
      disk_format: 'qcow2',
      torrent: torrent.payload,
    })
    const config = { swarm_mode: 'require' } as const
    let first: Awaited<ReturnType<typeof deployTo>>
    try {
      first = await deployTo(lab.disk.path, info, { config })
    } finally {
      await torrent[Symbol.asyncDispose]()
    }
    expect(first.bytes.peers).toBeGreaterThan(0)
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
    await using lab2 = await createLab()
    const second = await deployTo(lab2.disk.path, info, { config })
    expect(second.bytes.peers).toBeGreaterThan(0)
    expect(await differencesFromImage(lab2.disk.path, lab.image.path)).toEqual([])
    await second.seeding?.[Symbol.asyncDispose]()
    await first.seeding?.[Symbol.asyncDispose]()
    expect(await openersOf(lab.disk.path)).toEqual([])
  })

  test('of a partition goes straight into its partition', async () => {
    await using lab = await createPartitionLab()
    const file = await convertImage(lab.image.path, 'qcow2')
    await using origin = await createHttpOrigin({ path: file.path })
    const steps: string[] = []
    const info = lab.imageInfo({
      urls: [origin.url],
      os_hash_value: file.sha256,
      disk_format: 'qcow2',
    })
    const deployed = await deployTo(lab.disk.path, info, {
      onProgress: ({ step }) => steps.push(step),
    })
    expect(steps).not.toContain('unpack')
    const root = deployed.partitions?.list.find(({ kind }) => kind === 'root')
    if (!root) throw new Error('no root partition')
    expect(deployed.rootUuid).toBe(ROOT_UUID)
    const image = { ...root.range, length: lab.image.sizeBytes }
    expect(await sha256Of(lab.disk.path, image)).toBe(lab.image.sha256)
    await onWindow(lab.disk.path, root.range, ['e2fsck', '-fn'])
  })
})

describe.runIf(canRun)('a qcow2 is kept until it is unpacked, and the plan says why,', () => {
  test.for([
    ['its server gives no parts of it (Range)', ['-c'], { ignoreRange: true }],
    ['its server gives no parts of it (Range)', [], { ignoreRange: true }],
    ['its server does not say how long the file is', [], { ignoreRange: true, chunked: true }],
  ] as const)('where %s %j', async ([why, options, faults]) => {
    await using lab = await createLab(24 * MiB, 48 * MiB)
    const file = await convertImage(lab.image.path, 'qcow2', options)
    const { steps, plan } = await deployFrom(lab, file, faults)
    expect(steps).toEqual(KEPT)
    expect(plan).toContain(`cannot go straight to their places: ${why}`)
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
  })
})
