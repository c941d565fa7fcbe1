// A real, unmodified Ironic has partition images deployed by the agent: which one, IRONIC_TREE says.
import { execFile } from 'node:child_process'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest'
import { readPartitionTable } from '../../support/compare-disk.ts'
import { describeImage } from '../../support/disk-image.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { createBusyboxRoot } from '../../support/image-root/busybox-root.ts'
import { ROOT_FS_UUID } from '../../support/image-root/written-disk.ts'
import { createRig, deploy, infoOf, type Rig } from '../../support/ironic/deploy-rig.ts'
import { hasIronicUnderTest, IRONIC_UNDER_TEST } from '../../support/ironic/program.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const MiB = 1024 * 1024
const run = promisify(execFile)
const canRun =
  hasLoopDevices('deploys by a real Ironic') && hasPackages('agent') && hasIronicUnderTest()
const TITLE = `an unmodified Ironic ${IRONIC_UNDER_TEST.version}`

describe.skipIf(!canRun)(TITLE, { timeout: 600_000 }, () => {
  let directory: string
  let rig: Rig

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ironswarm-partitions-'))
    rig = await createRig({ requireTls: true })
  }, 1_200_000)

  afterAll(async () => {
    await rig?.[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  test.each(['uefi', 'bios'] as const)(
    'deploys a partition image to a machine with %s, with its config drive and its boot loader',
    async (bootMode) => {
      await using root = await createBusyboxRoot(FAKE_GRUB)
      const path = join(directory, `${bootMode}.ext4`)
      await run('mke2fs', [
        ...['-q', '-t', 'ext4', '-U', ROOT_FS_UUID, '-d', root.folder],
        ...[path, '32M'],
      ])
      const image = await describeImage(path)
      await using origin = await createHttpOrigin({ path })
      const sizes = { image_type: 'partition', root_gb: 1, swap_mb: 16 }
      const info = infoOf(origin.url, image, { image_disk_format: 'raw', ...sizes })
      const options = {
        // what newer releases do not say any more
        enable_bios_bootloader_install: true,
        // this kernel may know no FAT, which is what an ESP has; test/e2e/vm boots such a disk
        ignore_bootloader_failure: bootMode === 'uefi',
      }
      onTestFailed(async () => console.log(await rig.machines.logs()))
      const machine = await rig.machines.create({
        ...{ bootMode, diskBytes: 2048 * MiB, options },
        fields: { instance_info: info },
      })
      const agent = await deploy(rig, machine)
      await expectDivided(machine.disk.path, bootMode)
      const log = await agent.log()
      expect(log).toMatch(/"command_name":"install_bootloader","command_status":"SUCCEEDED"/)
      if (bootMode === 'bios') expect(await firstBytes(machine.disk.path)).toBe(BOOT_CODE)
    },
  )
})

const BOOT_CODE = 'test boot code'
const FAKE_GRUB = {
  '/usr/sbin/grub-install': `#!/bin/sh\nfor device; do :; done\nprintf '${BOOT_CODE}' | dd of=$device conv=notrunc`,
  '/usr/sbin/grub-mkconfig': '#!/bin/sh\necho menu > "$2"',
}

/** The partitions that Ironic asked for, by programs that did not make them. */
async function expectDivided(path: string, bootMode: 'uefi' | 'bios'): Promise<void> {
  const table = await readPartitionTable(path)
  const sizes = table?.partitions?.map(({ size }) => size / 2048)
  const isUefi = bootMode === 'uefi'
  expect([table?.label, sizes]).toEqual(
    isUefi ? ['gpt', [550, 16, 1, 1024]] : ['dos', [16, 1, 1024]],
  )
  await run('sfdisk', ['--verify', path])
  if (isUefi)
    expect((await run('sgdisk', ['--verify', path])).stdout).toContain('No problems found')
  const probe = async (index: number) => {
    const { start = 0, size = 0 } = table?.partitions?.at(index) ?? {}
    const window = [`--offset=${start * 512}`, `--size=${size * 512}`]
    return (await run('blkid', ['-p', '-o', 'export', ...window, path])).stdout
  }
  expect(await probe(-1)).toContain(`UUID=${ROOT_FS_UUID}`)
  expect(await probe(-2)).toContain('LABEL=config-2')
  if (isUefi) expect(await probe(0)).toContain('LABEL=efi-part')
}

async function firstBytes(device: string): Promise<string> {
  await run('blockdev', ['--flushbufs', device])
  await using disk = await open(device)
  const bytes = Buffer.alloc(BOOT_CODE.length)
  await disk.read(bytes, 0, bytes.length, 0)
  return bytes.toString()
}
