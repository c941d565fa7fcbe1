import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../agent/core/json.ts'
import { bootableTraces, differencesFromImage } from '../../support/compare-disk.ts'
import type { DiskImage } from '../../support/disk-image.ts'
import { convertImage, packImage } from '../../support/formats/packed-image.ts'
import { createHttpOrigin, type HttpOriginFaults } from '../../support/http-origin.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { openersOf } from '../../support/openers.ts'
import { hasPackages } from '../../support/packages.ts'
import { processesMarkedBy } from '../../support/processes.ts'
import { createDeployLab, type DeployLab, deployTo, MiB } from '../image/deploy-lab.ts'

const canRun = hasLoopDevices('killed deploys') && hasPackages('agent')

function startDeploy(lab: DeployLab, fields: JsonObject = {}): ChildProcess {
  return spawn(
    process.execPath,
    [
      join(import.meta.dirname, 'deploy-process.ts'),
      lab.disk.path,
      JSON.stringify(lab.imageInfo(fields)),
    ],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      // in the environment of whatever it starts: other tests of this machine unpack too
      env: { ...process.env, PATH: `${process.env['PATH']}:${lab.folder}` },
    },
  )
}

/** An origin that takes four seconds for it: progress is told at most every 500 ms, so some is surely seen. */
const slowly = (sizeBytes: number) => ({ rateBytesPerSecond: Math.ceil(sizeBytes / 4) })

/** Kills with SIGKILL at the first line that `isMoment` takes, once `isTime` holds too; the lines until then. */
async function killAt(
  child: ChildProcess,
  isMoment: (line: string) => boolean,
  isTime?: () => Promise<boolean>,
): Promise<string[]> {
  const lines: string[] = []
  const exited = once(child, 'exit')
  if (!child.stdout) throw new Error('no stdout')
  for await (const line of createInterface(child.stdout)) {
    lines.push(line)
    if (!isMoment(line)) continue
    if (isTime) await expect.poll(isTime, { interval: 20 }).toBe(true)
    child.kill('SIGKILL')
    break
  }
  await exited
  return lines
}

/** What disk_format says of it, and the file. */
async function fileOf(format: string, image: DiskImage): Promise<[string, DiskImage]> {
  if (format === 'zstd' || format === 'xz') return ['raw', await packImage(image.path, format)]
  if (format === 'vdi') return ['vdi', await convertImage(image.path, 'vdi')]
  const converted = await convertImage(image.path, 'qcow2', ['-c'])
  const isPacked = format.endsWith('zstd')
  return ['qcow2', isPacked ? await packImage(converted.path, 'zstd') : converted]
}

describe.runIf(canRun)('a deploy whose process is killed', () => {
  test.each([
    ['while the image comes in', /^fetch [1-9]/],
    ['when the read-back begins', /^read-back/],
  ])('%s leaves no bootable disk, and the next deploy succeeds', async (_, moment) => {
    await using lab = await createDeployLab({ imageBytes: 32 * MiB })
    lab.origin.faults = slowly(32 * MiB)
    const lines = await killAt(startDeploy(lab), (line) => moment.test(line))
    expect(lines.at(-1)).toMatch(moment)
    expect(await bootableTraces(lab.disk.path)).toEqual([])
    expect(await openersOf(lab.disk.path)).toEqual([])
    lab.origin.faults = {}
    await deployTo(lab.disk.path, lab.imageInfo())
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
  })

  test.runIf(hasPackages('image-formats')).each([
    // all of it is there before progress is told a second time
    ['zstd', /^read-back/],
    // so small that its progress may not be told at all: half of it has been sent
    ['xz', /^fetch/],
    ['qcow2', /^unpack/],
    ['qcow2 as it comes', /^read-back/],
    ['qcow2 in zstd', /^unpack/],
    // by a program beside the agent
    ['vdi', /^unpack/],
  ] as const)(
    'while it unpacks %s leaves no bootable disk and no process',
    async (format, moment) => {
      await using lab = await createDeployLab({
        imageBytes: (format === 'xz' ? 64 : 256) * MiB,
        disk: { sizeBytes: 640 * MiB },
      })
      const [diskFormat, packed] = await fileOf(format, lab.image)
      // xz is unpacked as it comes; a qcow2 is kept where its tables cannot be asked for
      const ways: Record<string, HttpOriginFaults> = {
        xz: slowly(packed.sizeBytes),
        qcow2: { ignoreRange: true },
      }
      const faults = ways[format] ?? {}
      await using origin = await createHttpOrigin({ path: packed.path, faults })
      const fields = {
        urls: [origin.url],
        os_hash_value: packed.sha256,
        disk_format: diskFormat,
      }
      const child = startDeploy(lab, fields)
      const program = { xz: 'xz ', vdi: 'qemu-nbd ' }[format as string]
      const isUnpacking = async () =>
        origin.bytesSent >= packed.sizeBytes / 2 &&
        (await processesMarkedBy(lab.folder)).some((line) => line.startsWith(program as string))
      const lines = await killAt(
        child,
        (line) => moment.test(line),
        program === undefined ? undefined : isUnpacking,
      )
      expect(lines.at(-1)).toMatch(moment)
      expect(lines.some((line) => line.startsWith('commit'))).toBe(false)
      expect(await bootableTraces(lab.disk.path)).toEqual([])
      expect(await openersOf(lab.disk.path)).toEqual([])
      await expect.poll(() => processesMarkedBy(lab.folder)).toEqual([])
    },
  )

  test.runIf(hasPackages('image-formats')).each([
    ['come in', /^fetch [1-9]/],
    ['are read back', /^read-back/],
  ])('while the clusters of a qcow2 %s leaves no bootable disk', async (_, moment) => {
    await using lab = await createDeployLab({ imageBytes: 24 * MiB, disk: { sizeBytes: 28 * MiB } })
    const file = await convertImage(lab.image.path, 'qcow2')
    await using origin = await createHttpOrigin({
      path: file.path,
      faults: slowly(file.sizeBytes),
    })
    const fields = { urls: [origin.url], os_hash_value: file.sha256, disk_format: 'qcow2' }
    const lines = await killAt(startDeploy(lab, fields), (line) => moment.test(line))
    expect(lines.at(-1)).toMatch(moment)
    expect(lines.some((line) => line.startsWith('unpack'))).toBe(false)
    expect(await bootableTraces(lab.disk.path)).toEqual([])
    expect(await openersOf(lab.disk.path)).toEqual([])
    await deployTo(lab.disk.path, lab.imageInfo(fields))
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
  })

  test('at any moment leaves the whole image or no bootable disk', async () => {
    await using lab = await createDeployLab({ imageBytes: 8 * MiB })
    for (const delayMs of [0, 5, 10, 20, 40, 80]) {
      const child = startDeploy(lab)
      let isCommitting = false
      await killAt(child, (line) => {
        if (line.startsWith('commit') && !isCommitting) {
          isCommitting = true
          setTimeout(() => child.kill('SIGKILL'), delayMs)
        }
        return false
      })
      const traces = await bootableTraces(lab.disk.path)
      const isBootable = traces.includes('boot signature in sector 0')
      if (isBootable) expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
    }
  })
})

describe.runIf(canRun)('the memory of a deploy', () => {
  test('stays below 256 MiB for an image of 256 MiB', async () => {
    await using lab = await createDeployLab({ imageBytes: 256 * MiB })
    const lines = await killAt(startDeploy(lab), () => false)
    const peakKiB = Number(/^peak (\d+)$/.exec(lines.at(-1) ?? '')?.[1])
    expect(peakKiB).toBeGreaterThan(0)
    expect(peakKiB / 1024).toBeLessThan(256)
  })
})
