// A whole-disk image in a mirror, started by real UEFI firmware: from both disks, and from each of them alone. What lies
// on the disks is read on this machine, by mdadm, sgdisk, fsck.vfat and mdir.
import { execFile } from 'node:child_process'
import { mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AgentClient, WireResult } from '../../support/fake-ironic/agent-client.ts'
import { hasArrayMaker } from '../../support/vm/array-maker.ts'
import { readSuperblock } from '../../support/vm/md-superblock.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { hasRaidImage, RAID_IMAGE } from '../../support/vm/raid-image.ts'
import { findRamdisk } from '../../support/vm/ramdisk.ts'
import { BOOT_TIMEOUT_MS, bootAgent, runStep } from './agent-steps.ts'
import { waitForInstance } from './deploys.ts'
import { bootFromDisk, createVmLab, type VmLab } from './lab.ts'
import { canBootMachines } from './requirements.ts'

const run = promisify(execFile)
const MiB = 1024 * 1024
const DISK_BYTES = 800 * MiB
const FOLDER = join(import.meta.dirname, '../../../build/test-vm/raid-boot')
const DISKS = `${FOLDER}-disks`
const MEMBERS = ['member-1', 'member-2'] as const
const pathOf = (serial: string) => join(DISKS, serial)
const moreDisks = MEMBERS.map((serial) => ({ path: pathOf(serial), serial, isLun: false }))

const TARGET = {
  logical_disks: [
    {
      ...{ controller: 'software', raid_level: '1', size_gb: 'MAX' },
      ...{ volume_name: 'root', is_root_volume: true },
      physical_disks: MEMBERS.map((serial) => ({ serial })),
    },
  ],
}
/** As sgdisk numbers and sfdisk shows them. */
const ESP_TYPE = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'

async function partitionsOf(serial: string) {
  expect((await run('sgdisk', ['--verify', pathOf(serial)])).stdout).toContain('No problems found')
  const { stdout } = await run('sfdisk', ['--json', pathOf(serial)])
  const { partitiontable } = JSON.parse(stdout) as {
    partitiontable: { partitions: { start: number; size: number; type: string; name: string }[] }
  }
  return partitiontable.partitions.map(({ start, size, type, name }) => ({
    ...{ offset: start * 512, length: size * 512, type, name },
  }))
}

/** The last command's result, once it has ended. */
async function ended(client: AgentClient): Promise<WireResult> {
  const deadline = performance.now() + BOOT_TIMEOUT_MS
  while (performance.now() < deadline) {
    const last = (await client.list().catch(() => [])).at(-1)
    if (last !== undefined && last.command_status !== 'RUNNING') return last
    await delay(3000)
  }
  throw new Error(`no end after ${BOOT_TIMEOUT_MS / 1000} s`)
}

describe.skipIf(!canBootMachines() || !hasArrayMaker() || !hasRaidImage())(
  'a whole-disk image in a mirror',
  { timeout: 2 * BOOT_TIMEOUT_MS },
  () => {
    let lab: VmLab
    let machine: QemuMachine

    beforeAll(async () => {
      await rm(DISKS, { recursive: true, force: true })
      await mkdir(DISKS, { recursive: true })
      for (const serial of MEMBERS) {
        await using disk = await open(pathOf(serial), 'w')
        await disk.truncate(DISK_BYTES)
      }
      const setting = { nodes: 1, boot: 'direct', firmware: 'uefi', isSwarm: false } as const
      const size = { image: RAID_IMAGE, memoryMib: 512, moreDisks }
      lab = await createVmLab(
        { ...setting, ...size, ramdisk: findRamdisk(process.env) },
        FOLDER,
        'any',
      )
      machine = lab.machines[0] as QemuMachine
    }, BOOT_TIMEOUT_MS)

    afterAll(() => lab?.[Symbol.asyncDispose]())

    test('gets an ESP with its loaders on each disk, and a boot entry for each', async () => {
      const client = await bootAgent(lab, machine)
      const node = { uuid: machine.uuid, properties: { capabilities: 'boot_mode:uefi' } }
      const made = await runStep(client, {
        ...{ kind: 'clean', step: 'create_configuration', interface: 'raid' },
        node: { ...node, target_raid_config: TARGET },
      })
      expect(made).toMatchObject({ command_error: null })
      const { image, origin } = lab.source
      const image_info = {
        ...{ id: 'raid', urls: [origin.url], disk_format: 'raw' },
        ...{ os_hash_algo: 'sha256', os_hash_value: image.sha256 },
      }
      const written = await runStep(client, {
        ...{ kind: 'deploy', step: 'write_image', interface: 'deploy', args: { image_info }, node },
      })
      expect(written).toMatchObject({ command_error: null })
      const params = {
        ...{ root_uuid: '0x00000000', efi_system_part_uuid: null, prep_boot_part_uuid: null },
        target_boot_mode: 'uefi',
      }
      // Ironic asks again when an answer got lost
      for (const _ of [1, 2]) {
        await client.command('image.install_bootloader', params, false)
        expect(await ended(client)).toMatchObject({ command_error: null })
      }
      await client.command('standby.sync', {}, true)
      await machine.powerOff()

      const superblocks = []
      for (const [i, serial] of MEMBERS.entries()) {
        const partitions = await partitionsOf(serial)
        expect(partitions.map(({ type }) => type === ESP_TYPE)).toEqual([false, true])
        const esp = partitions[1] as (typeof partitions)[number]
        expect(esp).toMatchObject({ offset: MiB, length: 550 * MiB, name: `uefi-holder-${i}` })
        superblocks.push(await readSuperblock(pathOf(serial), esp))
        const fat = join(DISKS, `${serial}.fat`)
        await run('dd', [`if=${pathOf(serial)}`, `of=${fat}`, 'bs=1M', 'skip=1', 'count=36'])
        await run('fsck.vfat', ['-n', fat])
        const listing = await run('mdir', ['-b', '-/', '-i', fat, '::'])
        expect(listing.stdout).toContain('::/EFI/ironswarm/BOOTX64.CSV')
      }
      const [first, second] = superblocks
      expect(first).toMatchObject({ name: 'any:esp', level: 'raid1' })
      expect(second).toMatchObject({ ...first })
      const variables = (await readFile(join(FOLDER, 'node-1.uefi-variables'))).toString('utf16le')
      for (const i of MEMBERS.keys())
        expect(variables).toContain(`ironswarm instance (RAID, part${i})\0`)
    })

    test.each([
      ['both disks', [0, 1]],
      ['the first disk alone', [0]],
      ['the second disk alone', [1]],
    ])('starts from %s', async (_, left) => {
      bootFromDisk(machine)
      machine.setup.moreDisks = left.flatMap((i) => moreDisks[i] ?? [])
      const from = await machine.serial.end()
      await machine.powerOn()
      const { words, console: said } = await waitForInstance(machine, from)
      await machine.powerOff()
      expect(words).toContain('firmware=uefi')
      expect(said).toMatch(/IRONSWARM-INSTANCE root \/dev\/md\d+p\d/)
      const shown = left.length === 2 ? /\[2\/2\] \[UU\]/ : /\[2\/1\] \[(U_|_U)\]/
      expect(said).toMatch(shown)
    })
  },
)
