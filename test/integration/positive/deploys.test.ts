import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../agent/core/json.ts'
import { differencesFromImage } from '../../support/compare-disk.ts'
import type { DiskImage } from '../../support/disk-image.ts'
import { convertImage, packImage } from '../../support/formats/packed-image.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { hasLoopDevices, type LoopDevice } from '../../support/loop-device.ts'
import { openersOf } from '../../support/openers.ts'
import { hasPackages } from '../../support/packages.ts'
import { ROOT_UUID } from '../../support/root-image.ts'
import { startTracker } from '../../support/tracker.ts'
import {
  createDeployLab,
  type DeployTestOptions,
  deployTo,
  MiB,
  seedImage,
} from '../image/deploy-lab.ts'
import { createPartitionLab, onWindow, sha256Of } from '../image/partition-lab.ts'
import { CONTAINER_CASES } from './container-cases.ts'
import type { DeployCase, MakeStep } from './deploy-case.ts'
import { FORMAT_CASES } from './format-cases.ts'

const run = promisify(execFile)
const canRun =
  hasLoopDevices('deploys that succeed') && hasPackages('agent') && hasPackages('image-formats')
const IMAGE_BYTES = 24 * MiB

interface Lab extends AsyncDisposable {
  readonly image: DiskImage
  readonly disk: LoopDevice
  imageInfo(fields?: JsonObject): JsonObject
}

async function labOf({ image, disk }: DeployCase): Promise<Lab> {
  if (image === 'ext4') return await createPartitionLab(disk)
  return await createDeployLab({
    imageBytes: IMAGE_BYTES,
    table: image,
    ...(disk ? { disk: { sizeBytes: IMAGE_BYTES + 80 * MiB, ...disk } } : {}),
  })
}

async function make(image: DiskImage, steps: readonly MakeStep[]): Promise<DiskImage> {
  let file = image
  for (const step of steps) {
    if (step[0] === 'pack') {
      file = await packImage(file.path, step[1])
    } else {
      const [, driver, ...options] = step
      file = await convertImage(file.path, driver, options)
    }
  }
  return file
}

/** Deploys; resolves to the steps that the progress told, neighbours of one name as one. */
async function deploy(row: DeployCase, lab: Lab, file: DiskImage): Promise<string[]> {
  await using stack = new AsyncDisposableStack()
  const faults = row.ignoresRange ? { ignoreRange: true } : {}
  const origin = stack.use(await createHttpOrigin({ path: file.path, faults }))
  const steps: string[] = []
  const info = lab.imageInfo({ ...row.fields, urls: [origin.url], os_hash_value: file.sha256 })
  const options: DeployTestOptions = {
    config: {
      ...(row.permitted ? { permitted_image_formats: row.permitted } : {}),
      ...(row.isSwarm ? { swarm_mode: 'require' } : {}),
    },
    ...(row.node ? { node: row.node } : {}),
    onProgress: ({ step }) => {
      if (steps.at(-1) !== step) steps.push(step)
    },
  }
  if (row.permitted) {
    const refused = deployTo(lab.disk.path, info, { config: { permitted_image_formats: ['raw'] } })
    await expect(refused).rejects.toMatchObject({ type: 'InvalidImage' })
  }
  if (!row.isSwarm) {
    const { rootUuid } = await deployTo(lab.disk.path, info, options)
    if (row.image === 'ext4') expect(rootUuid).toBe(ROOT_UUID)
    return steps
  }
  const tracker = stack.use(await startTracker())
  const torrent = stack.use(await seedImage(file, tracker.url))
  const deployed = await deployTo(lab.disk.path, { ...info, torrent: torrent.payload }, options)
  // which follows a swarm delivery only; the web seed may have been faster than the peer
  expect(deployed.seeding).toBeDefined()
  expect(deployed.bytes.peers + deployed.bytes.origin).toBe(file.sizeBytes)
  await deployed.seeding?.[Symbol.asyncDispose]()
  return steps
}

async function check(row: DeployCase): Promise<void> {
  await using lab = await labOf(row)
  const { path } = lab.disk
  const steps = await deploy(row, lab, await make(lab.image, row.make))
  expect(steps.slice(0, row.steps.length)).toEqual(row.steps)
  expect(await openersOf(path)).toEqual([])
  await run('sfdisk', ['--verify', path])
  if (row.image === 'ext4') await checkRoot(lab)
  else expect(await differencesFromImage(path, lab.image.path)).toEqual([])
  if (row.image === 'gpt') {
    expect((await run('sgdisk', ['-v', path])).stdout).toContain('No problems found')
  }
}

/** By the table that sfdisk reads: the root partition is the last. */
async function checkRoot({ disk, image }: Lab): Promise<void> {
  const { stdout } = await run('sfdisk', ['--json', disk.path])
  const { partitions, sectorsize } = JSON.parse(stdout).partitiontable
  const { start, size } = partitions.at(-1)
  const range = { offset: start * sectorsize, length: size * sectorsize }
  expect(await sha256Of(disk.path, { ...range, length: image.sizeBytes })).toBe(image.sha256)
  await onWindow(disk.path, range, ['e2fsck', '-fn'])
}

for (const [what, cases] of [
  ['a file of one format', FORMAT_CASES],
  ['a container in a packed file', CONTAINER_CASES],
] as const) {
  describe.runIf(canRun)(`a disk is written from ${what}`, () => {
    test.each(cases.map((row) => [row.name, row] as const))('%s', async (_, row) => {
      await check(row)
    })
  })
}
