import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../agent/core/json.ts'
import { waitUntilFree } from '../../../agent/system/image-root/exclusive-access.ts'
import { differencesFromImage } from '../../support/compare-disk.ts'
import { convertImage, packImage } from '../../support/formats/packed-image.ts'
import { createHttpOrigin, type HttpOriginFaults } from '../../support/http-origin.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { openersOf } from '../../support/openers.ts'
import { hasPackages } from '../../support/packages.ts'
import { durationOf, KILLS, killAtRandom, startProgram } from '../../support/random-kill.ts'
import { createDeployLab, type DeployLab, MiB } from '../image/deploy-lab.ts'

const run = promisify(execFile)
const canRun =
  hasLoopDevices('killed deploys') && hasPackages('agent') && hasPackages('image-formats')

/** The disk is about to be erased; what was on it before is no test. */
const BEGUN = /^fetch/

interface Packed {
  readonly path: string
  readonly sha256: string
  readonly diskFormat: 'raw' | 'qcow2'
  readonly faults?: HttpOriginFaults
}

/** Each way that the bytes of a whole disk take. */
const WAYS: Readonly<Record<string, (lab: DeployLab) => Promise<Packed>>> = {
  'a raw image': async ({ image }) => ({ ...image, diskFormat: 'raw' }),
  'a raw image in zstd': async ({ image }) => ({
    ...(await packImage(image.path, 'zstd')),
    diskFormat: 'raw',
  }),
  'a qcow2 whose clusters go straight to the disk': async ({ image }) => ({
    ...(await convertImage(image.path, 'qcow2')),
    diskFormat: 'qcow2',
  }),
  'a qcow2 that is decoded as it comes': async ({ image }) => ({
    ...(await convertImage(image.path, 'qcow2', ['-c'])),
    diskFormat: 'qcow2',
  }),
  'a qcow2 that is kept on the tail first': async ({ image }) => ({
    ...(await convertImage(image.path, 'qcow2', ['-c'])),
    diskFormat: 'qcow2',
    faults: { ignoreRange: true },
  }),
  'a qcow2 that is packed in zstd': async ({ image }) => ({
    ...(await packImage((await convertImage(image.path, 'qcow2')).path, 'zstd')),
    diskFormat: 'qcow2',
  }),
}

/** Whether blkid or sfdisk, which the agent does not look with, find anything that boots. */
async function isAnythingFound(path: string): Promise<boolean> {
  const found = await Promise.all([
    // a low-level probe of the medium: exit code 2 for nothing
    run('blkid', ['--probe', path]).then(
      () => true,
      () => false,
    ),
    run('sfdisk', ['--json', path]).then(
      () => true,
      () => false,
    ),
  ])
  return found.includes(true)
}

describe.skipIf(!canRun || KILLS === 0)(
  'a deploy that is killed at random moments',
  { timeout: 3_600_000 },
  () => {
    test.each(Object.entries(WAYS))('of %s leaves all of it or nothing', async (_, packedOf) => {
      await using lab = await createDeployLab({ imageBytes: 24 * MiB })
      const { path } = lab.disk
      const packed = await packedOf(lab)
      const { faults = {} } = packed
      await using origin = await createHttpOrigin({ path: packed.path, faults })
      const fields: JsonObject = {
        urls: [origin.url],
        os_hash_value: packed.sha256,
        disk_format: packed.diskFormat,
      }
      const program = join(import.meta.dirname, 'deploy-process.ts')
      const deploy = () => startProgram(program, path, JSON.stringify(lab.imageInfo(fields)))
      const lastMs = await durationOf(deploy(), BEGUN)
      expect(await isAnythingFound(path)).toBe(true)
      const ends = { whole: 0, nothing: 0 }
      for (let i = 0; i < KILLS; i++) {
        const delayMs = await killAtRandom(deploy(), 1.1 * lastMs, BEGUN)
        await waitUntilFree(path)
        await expect.poll(() => openersOf(path)).toEqual([])
        const isWhole = await isAnythingFound(path)
        ends[isWhole ? 'whole' : 'nothing'] += 1
        if (!isWhole) continue
        const differences = await differencesFromImage(path, lab.image.path)
        expect(differences, `killed after ${delayMs} ms`).toEqual([])
      }
      console.log(`${KILLS} kills: ${ends.nothing} left nothing, ${ends.whole} the whole image`)
      // none at all would mean that none came while the image was written
      expect(ends.nothing).toBeGreaterThan(0)
      await durationOf(deploy())
      expect(await differencesFromImage(path, lab.image.path)).toEqual([])
    })
  },
)
