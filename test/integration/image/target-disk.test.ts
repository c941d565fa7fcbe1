import { open } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { createHeldBack } from '../../../agent/disk/hold-back.ts'
import { createStagedDevice } from '../../../agent/image/target/staged-device.ts'
import { openTargetDisk } from '../../../agent/image/target/target-disk.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { bootableTraces } from '../../support/compare-disk.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { openersOf } from '../../support/openers.ts'
import { hasPackages } from '../../support/packages.ts'
import { createDeployLab, MiB, testLogger } from './deploy-lab.ts'

const root = createRoot('/')

const canRun = hasLoopDevices('target disks') && hasPackages('agent')
const BOOT_SECTOR = Buffer.concat([Buffer.alloc(510, 7), Buffer.from([0x55, 0xaa])])

async function readAt(path: string, offset: number, length: number): Promise<Buffer> {
  await using file = await open(path)
  const bytes = Buffer.alloc(length)
  await file.read(bytes, 0, length, offset)
  return bytes
}

describe.runIf(canRun)('a target disk', () => {
  test('has lost its old system from the moment it is open', async () => {
    await using lab = await createDeployLab({ imageBytes: 8 * MiB })
    expect(await bootableTraces(lab.disk.path)).not.toEqual([])
    await using _target = await openTargetDisk(lab.disk.path, { root, log: testLogger() })
    expect(await bootableTraces(lab.disk.path)).toEqual([])
  })

  test('cannot be opened a second time', async () => {
    await using lab = await createDeployLab({ imageBytes: 8 * MiB })
    await using _target = await openTargetDisk(lab.disk.path, { root, log: testLogger() })
    await expect(openTargetDisk(lab.disk.path, { root, log: testLogger() })).rejects.toMatchObject({
      type: 'TargetInUseError',
    })
  })

  test.each([
    ['still open', false],
    ['released', true],
  ])('that is not kept loses its boot sector again, %s or not', async (_, isReleased) => {
    await using lab = await createDeployLab({ imageBytes: 8 * MiB })
    {
      await using target = await openTargetDisk(lab.disk.path, { root, log: testLogger() })
      await target.device.write(0, BOOT_SECTOR)
      if (isReleased) await target.release()
      expect(await bootableTraces(lab.disk.path)).not.toEqual([])
    }
    expect(await bootableTraces(lab.disk.path)).toEqual([])
    expect(await openersOf(lab.disk.path)).toEqual([])
  })

  test('that is kept stays as it is', async () => {
    await using lab = await createDeployLab({ imageBytes: 8 * MiB })
    {
      await using target = await openTargetDisk(lab.disk.path, { root, log: testLogger() })
      await target.device.write(0, BOOT_SECTOR)
      target.keep()
    }
    expect(await readAt(lab.disk.path, 0, 512)).toEqual(BOOT_SECTOR)
  })
})

describe.runIf(canRun)('a staged device', () => {
  test('shows what will be, while the disk shows nothing until the commit', async () => {
    await using lab = await createDeployLab({ imageBytes: 8 * MiB })
    await using target = await openTargetDisk(lab.disk.path, { root, log: testLogger() })
    const { device } = target
    const held = createHeldBack([{ offset: 0, length: 512 }])
    held.take({ offset: 0, data: BOOT_SECTOR, from: 'origin' })
    const direct: number[] = []
    const staged = createStagedDevice(device, held, ({ offset }) => direct.push(offset))
    const end = device.geometry.sizeBytes - 512
    await staged.write(end, Buffer.alloc(512, 9))
    await staged.write(MiB - 512, Buffer.alloc(1024, 5))

    const shown = new Uint8Array(1024)
    await staged.read(MiB - 512, shown)
    expect(shown).toEqual(new Uint8Array(1024).fill(5))
    expect(direct).toEqual([MiB])
    expect(await bootableTraces(lab.disk.path)).toEqual([])

    await staged.commit()
    expect(await readAt(lab.disk.path, 0, 512)).toEqual(BOOT_SECTOR)
    expect(await readAt(lab.disk.path, MiB - 512, 1024)).toEqual(Buffer.alloc(1024, 5))
    expect(await readAt(lab.disk.path, end, 512)).toEqual(Buffer.alloc(512, 9))
  })

  test('writes the first sector after everything else has reached the medium', async () => {
    await using lab = await createDeployLab({ imageBytes: 8 * MiB })
    await using target = await openTargetDisk(lab.disk.path, { root, log: testLogger() })
    const calls: string[] = []
    const { device } = target
    const watched = {
      ...device,
      write: (offset: number, data: Uint8Array) => {
        calls.push(offset === 0 ? 'first sector' : offset < MiB ? 'head' : 'tail')
        return device.write(offset, data)
      },
      sync: () => {
        calls.push('sync')
        return device.sync()
      },
    }
    await createStagedDevice(watched, createHeldBack([]), () => undefined).commit()
    expect(calls).toEqual(['tail', 'sync', 'head', 'sync', 'first sector', 'sync'])
  })

  test('tells of a disk that does not read back what was committed', async () => {
    await using lab = await createDeployLab({ imageBytes: 8 * MiB })
    await using target = await openTargetDisk(lab.disk.path, { root, log: testLogger() })
    const { device } = target
    const forgetful = { ...device, write: async () => undefined }
    const held = createHeldBack([{ offset: 0, length: 512 }])
    held.take({ offset: 0, data: BOOT_SECTOR, from: 'origin' })
    const staged = createStagedDevice(forgetful, held, () => undefined)
    await expect(staged.commit()).rejects.toMatchObject({ type: 'ReadBackMismatchError' })
  })
})
