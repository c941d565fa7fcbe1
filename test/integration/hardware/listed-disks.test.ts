import { symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { MiB } from '../../../agent/core/units.ts'
import { listDisks } from '../../../agent/hardware/collectors/disks.ts'
import { chooseRootDisk } from '../../../agent/hardware/root-device-hints.ts'
import { exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'

const root = createRoot('/')
const canRun = hasLoopDevices('root disks on loop devices')

describe.skipIf(!canRun)('a loop device in the option block_devices', () => {
  test('is the root disk, with its real size and sectors, though it is below 4 GiB', async () => {
    await using disk = await createLoopDevice({ sizeBytes: 64 * MiB, sectorBytes: 4096 })
    const disks = await listDisks({ exec, root, listed: [disk.path] })
    expect(chooseRootDisk(disks, undefined)).toMatchObject({
      name: disk.path,
      sizeBytes: 64 * MiB,
      logicalSectorBytes: 4096,
      isListed: true,
    })
  })

  test('may be named by a link and then has its kernel name', async () => {
    await using disk = await createLoopDevice({ sizeBytes: 8 * MiB })
    const link = join(dirname(disk.backingFile), 'by-id')
    await symlink(disk.path, link)
    const [found] = await listDisks({ exec, root, listed: [link] })
    expect(found?.name).toBe(disk.path)
  })

  test('is no candidate when it is not listed', async () => {
    await using disk = await createLoopDevice({ sizeBytes: 8 * MiB })
    const disks = await listDisks({ exec, root, listed: [] })
    expect(disks.map(({ name }) => name)).not.toContain(disk.path)
  })
})
