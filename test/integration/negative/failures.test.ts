import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import { bootableTraces } from '../../support/compare-disk.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { openersOf } from '../../support/openers.ts'
import { hasPackages } from '../../support/packages.ts'
import { createDeployLab, type DeployLab, deployTo, MiB } from '../image/deploy-lab.ts'
import { CONTAINER_CASES } from './container-cases.ts'
import { DISK_CASES } from './disk-cases.ts'
import type { Arrangement, FailureCase } from './failure-case.ts'
import { IMAGE_CASES } from './image-cases.ts'
import { ORIGIN_CASES } from './origin-cases.ts'
import { PACKED_CASES } from './packed-cases.ts'
import { QCOW2_CASES } from './qcow2-cases.ts'
import { SWARM_CASES } from './swarm-cases.ts'

const run = promisify(execFile)
const canRun = hasLoopDevices('failing deploys') && hasPackages('agent')

async function contentOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const part of createReadStream(path)) hash.update(part)
  return hash.digest('hex')
}

async function failureOf(lab: DeployLab, arrangement: Arrangement): Promise<unknown> {
  try {
    const path = arrangement.devicePath ?? lab.disk.path
    const deployed = await deployTo(path, lab.imageInfo(arrangement.fields), arrangement)
    await deployed.seeding?.[Symbol.asyncDispose]()
    return undefined
  } catch (error) {
    return error
  }
}

async function check(failureCase: FailureCase): Promise<void> {
  await using lab = await createDeployLab(failureCase.lab)
  const arrangement = await failureCase.arrange(lab)
  const before = await contentOf(lab.disk.path)
  const openBefore = await openersOf(lab.disk.path)
  let error: unknown
  try {
    error = await failureOf(lab, arrangement)
    expect(await openersOf(lab.disk.path)).toEqual(openBefore)
    if (failureCase.isUntouched) expect(await contentOf(lab.disk.path)).toBe(before)
    else expect(await bootableTraces(lab.disk.path)).toEqual([])
  } finally {
    await arrangement.undo?.()
  }
  expect(error).toBeInstanceOf(AgentError)
  expect(error).toMatchObject({ type: failureCase.error })
  expect((error as AgentError).details).toMatch(failureCase.details)
}

const MATRIX = [
  ['the image', IMAGE_CASES],
  ['an image that is unpacked', PACKED_CASES],
  ['a container that is packed in a file', CONTAINER_CASES],
  ['a qcow2', QCOW2_CASES],
  ['the origin', ORIGIN_CASES],
  ['the swarm', SWARM_CASES],
  ['the disk', DISK_CASES],
] as const

for (const [what, cases] of MATRIX) {
  describe.runIf(canRun)(
    `what is wrong with ${what} ends in a clear error and no bootable disk`,
    () => {
      test.each(cases.map((row) => [row.name, row] as const))('%s', async (_, row) => {
        await check(row)
      })
    },
  )
}

describe.runIf(canRun)('a disk whose storage is full', () => {
  test.each([
    ['tmpfs', (folder: string) => run('mount', ['-t', 'tmpfs', '-o', 'size=9m', 'none', folder])],
  ])(
    'behind a loop device on %s ends in ImageWriteError and no bootable disk',
    async (_, mount) => {
      await using lab = await createDeployLab()
      const folder = join(lab.folder, 'small')
      await mkdir(folder)
      await mount(folder)
      try {
        await using disk = await createLoopDevice({ sizeBytes: 32 * MiB, directory: folder })
        const error = await failureOf(lab, { devicePath: disk.path })
        expect(error).toMatchObject({ type: 'ImageWriteError' })
        expect((error as AgentError).details).toMatch(/E(IO|NOSPC)/)
        expect(await bootableTraces(disk.path)).toEqual([])
        expect(await openersOf(disk.path)).toEqual([])
      } finally {
        await run('umount', [folder])
      }
    },
  )
})
