// Markers on real loop devices: found where they were not erased, gone where they were.
import { execFile } from 'node:child_process'
import { open } from 'node:fs/promises'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { MiB } from '../../../agent/core/units.ts'
import { overwriteDisk } from '../../../agent/disk/erase.ts'
import { discardDisk } from '../../../agent/hardware/generic/erase/discard.ts'
import {
  checkMarkers,
  type Markers,
  writeMarkers,
} from '../../../agent/hardware/generic/erase/proof.ts'
import { exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const options = {
  exec,
  root: createRoot('/'),
  log: createLogger({ level: 'silent' }),
  signal: new AbortController().signal,
}
const canRun = hasLoopDevices('proofs of erasures') && hasPackages('agent')
const check = (path: string, markers: Markers, isZeroExpected = false) =>
  checkMarkers(path, markers, { ...options, isZeroExpected, onBytes: () => undefined })

/** What a drive does that erases only these bytes. */
async function zero(path: string, offset: number, length: number): Promise<void> {
  await using disk = await open(path, 'r+')
  await disk.write(Buffer.alloc(length), 0, length, offset)
  await disk.sync()
}

describe.skipIf(!canRun)('a proof', () => {
  test.each([512, 4096] as const)(
    'is given of a disk with sectors of %i bytes',
    async (sectorBytes) => {
      await using disk = await createLoopDevice({ sizeBytes: 8 * MiB, sectorBytes })
      const markers = await writeMarkers(disk.path, 'sample', options)
      expect(markers.offsets).toHaveLength(64)
      const passes = { randomPasses: 0, endsWithZeros: true }
      await overwriteDisk(disk.path, passes, { ...options, onBytes: () => undefined })
      expect(await check(disk.path, markers, true)).toBe(
        'verified: 64 markers are gone, 64 of their places read as zeros',
      )
    },
  )

  test.each(['sample', 'full'] as const)(
    'by %s fails of a drive that has erased nothing',
    async (how) => {
      await using disk = await createLoopDevice({ sizeBytes: 4 * MiB })
      const markers = await writeMarkers(disk.path, how, options)
      await expect(check(disk.path, markers)).rejects.toMatchObject({
        type: 'BlockDeviceEraseError',
        details: expect.stringMatching(
          /^(64 of 64|4 of 4) markers .* are still there, the first at byte 0/,
        ),
      })
    },
  )

  test('finds the last 512 bytes of the last marker', async () => {
    await using disk = await createLoopDevice({ sizeBytes: 4 * MiB })
    const markers = await writeMarkers(disk.path, 'sample', options)
    await zero(disk.path, 0, 4 * MiB - 512)
    await expect(check(disk.path, markers)).rejects.toMatchObject({
      details: expect.stringMatching(/^1 of 64 markers .* the first at byte 4193792/),
    })
  })

  test('by full finds one byte anywhere that is not zero', async () => {
    await using disk = await createLoopDevice({ sizeBytes: 4 * MiB })
    const markers = await writeMarkers(disk.path, 'full', options)
    await zero(disk.path, 0, 4 * MiB)
    expect(await check(disk.path, markers, true)).toBe('verified: all 4.0 MiB read as zeros')
    {
      await using file = await open(disk.path, 'r+')
      await file.write(Buffer.from([1]), 0, 1, 3 * MiB + 77_777)
      await file.sync()
    }
    await expect(check(disk.path, markers, true)).rejects.toMatchObject({
      details: expect.stringContaining(`read as zeros at byte ${3 * MiB + 77_777}`),
    })
  })

  test('has markers at other places and of other bytes each time, also on the smallest disk', async () => {
    await using disk = await createLoopDevice({ sizeBytes: 16 * 4096 })
    const [a, b] = [
      await writeMarkers(disk.path, 'sample', options),
      await writeMarkers(disk.path, 'sample', options),
    ]
    expect(a.offsets).toHaveLength(16)
    expect(Buffer.compare(a.base, b.base)).not.toBe(0)
    expect(await check(disk.path, a)).toMatch(/^verified: 16 markers are gone/)
  })

  test('is refused of a disk in use', async () => {
    await using disk = await createLoopDevice({ sizeBytes: 4 * MiB })
    await using _holder = await open(disk.path, 0o200 | 2)
    await expect(writeMarkers(disk.path, 'sample', options)).rejects.toMatchObject({
      type: 'TargetInUseError',
    })
  })
})

describe.skipIf(!canRun)('a disk that is discarded', () => {
  test('reads as zeros, whatever lay on it', async () => {
    await using disk = await createLoopDevice({ sizeBytes: 16 * MiB })
    await promisify(execFile)('mkfs.ext4', ['-q', disk.path])
    const markers = await writeMarkers(disk.path, 'sample', options)
    expect(await discardDisk(disk.path, options)).toMatch(/^discarded/)
    expect(await check(disk.path, markers, true)).toContain('64 of their places read as zeros')
  })

  test('is none where the device takes no discards', async () => {
    const root = createRoot('/nonexistent')
    expect(await discardDisk('/dev/loop0', { ...options, root })).toBeUndefined()
  })
})
