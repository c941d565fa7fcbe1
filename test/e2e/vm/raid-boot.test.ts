// An image in a mirror, started by real firmware: from both disks, and from each of them alone; by UEFI a whole-disk
// image with its own loaders, by BIOS a partition image with its own GRUB. What lies on the disks is read on this
// machine, by mdadm, sgdisk, fsck.vfat and mdir.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AgentClient } from '../../support/fake-ironic/agent-client.ts'
import { ROOT_FS_UUID } from '../../support/image-root/written-disk.ts'
import { ARRAYS_MADE, hasArrayMaker, makeArrayRamdisk } from '../../support/vm/array-maker.ts'
import { readSuperblock } from '../../support/vm/md-superblock.ts'
import { hasPartitionImage, PARTITION_IMAGE } from '../../support/vm/partition-image.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { hasRaidImage, RAID_IMAGE } from '../../support/vm/raid-image.ts'
import { findRamdisk } from '../../support/vm/ramdisk.ts'
import { BOOT_TIMEOUT_MS, bootAgent, imageInfoOf, runStep, runWell } from './agent-steps.ts'
import { waitForInstance } from './deploys.ts'
import { bootFromDisk, createVmLab, type VmLab } from './lab.ts'
import {
  createMirrorDisks,
  MEMBERS,
  type MemberPartition,
  MIRROR,
  type MirrorDisks,
} from './mirror.ts'
import { canBootMachines } from './requirements.ts'

const MiB = 1024 * 1024
const FOLDER = join(import.meta.dirname, '../../../build/test-vm/raid-boot')
/** As sgdisk numbers and sfdisk shows them. */
const ESP_TYPE = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'
const BIOS_BOOT_TYPE = '21686148-6449-6E6F-744E-656564454649'
const STARTS = [
  ['both disks', [0, 1]],
  ['the first disk alone', [0]],
  ['the second disk alone', [1]],
] as const

interface Mirrored extends AsyncDisposable {
  readonly lab: VmLab
  readonly machine: QemuMachine
  readonly disks: MirrorDisks
}

async function createMirrored(firmware: 'bios' | 'uefi', image: string): Promise<Mirrored> {
  const folder = `${FOLDER}-${firmware}`
  const disks = await createMirrorDisks(`${folder}-disks`)
  const setting = { nodes: 1, boot: 'direct', firmware, isSwarm: false } as const
  const size = { image, memoryMib: 512, moreDisks: disks.moreDisks }
  const lab = await createVmLab(
    { ...setting, ...size, ramdisk: findRamdisk(process.env) },
    folder,
    'any',
  )
  return {
    ...{ lab, machine: lab.machines[0] as QemuMachine, disks },
    [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
  }
}

const nodeOf = ({ machine }: Mirrored, firmware: string, changes: object = {}) => ({
  ...{ uuid: machine.uuid, properties: { capabilities: `boot_mode:${firmware}` } },
  ...changes,
})

async function makeMirror(client: AgentClient, node: Record<string, unknown>): Promise<void> {
  const made = await runStep(client, {
    ...{ kind: 'clean', step: 'create_configuration', interface: 'raid' },
    node: { ...node, target_raid_config: MIRROR },
  })
  expect(made).toMatchObject({ command_error: null })
}

/** Starts the instance with these of the disks; all it says until its login prompt. */
async function start({ machine, disks }: Mirrored, left: readonly number[]): Promise<string> {
  const ramdisk = { ...machine.setup }
  bootFromDisk(machine)
  machine.setup.device = 'moreDisks'
  machine.setup.moreDisks = left.flatMap((i) => disks.moreDisks[i] ?? [])
  const from = await machine.serial.end()
  await machine.powerOn()
  const { console: said } = await waitForInstance(machine, from)
  await machine.powerOff()
  Object.assign(machine.setup, ramdisk)
  return said
}

function expectStarted(said: string, firmware: string, left: readonly number[]): void {
  expect(said).toContain(`IRONSWARM-INSTANCE READY firmware=${firmware}`)
  expect(said).toMatch(/IRONSWARM-INSTANCE root \/dev\/md\d+p\d/)
  expect(said).toMatch(left.length === 2 ? /\[2\/2\] \[UU\]/ : /\[2\/1\] \[(U_|_U)\]/)
}

const isReady = canBootMachines() && hasArrayMaker() && hasRaidImage() && hasPartitionImage()

describe.skipIf(!isReady)(
  'a whole-disk image in a mirror, by UEFI',
  { timeout: 2 * BOOT_TIMEOUT_MS },
  () => {
    let mirrored: Mirrored
    const espOf = async (serial: string) => {
      const partitions = await mirrored.disks.partitionsOf(serial)
      expect(partitions.map(({ type }) => type === ESP_TYPE)).toEqual([false, true])
      return partitions[1] as MemberPartition
    }
    const superblocksOfEsps = async () => {
      const found = []
      for (const serial of MEMBERS)
        found.push(await readSuperblock(mirrored.disks.pathOf(serial), await espOf(serial)))
      return found
    }

    beforeAll(async () => {
      mirrored = await createMirrored('uefi', RAID_IMAGE)
    }, BOOT_TIMEOUT_MS)
    afterAll(() => mirrored?.[Symbol.asyncDispose]())

    /** Writes the image, and has the agent make it boot as often as Ironic may ask: again when an answer got lost. */
    async function deploy(client: AgentClient, node: Record<string, unknown>, times: number) {
      const args = { image_info: imageInfoOf(mirrored.lab) }
      const written = await runStep(client, {
        ...{ kind: 'deploy', step: 'write_image', interface: 'deploy', args, node },
      })
      expect(written).toMatchObject({ command_error: null })
      for (let i = 0; i < times; i++) {
        await runWell(client, 'image.install_bootloader', {
          ...{ root_uuid: '0x00000000', efi_system_part_uuid: null, prep_boot_part_uuid: null },
          target_boot_mode: 'uefi',
        })
      }
      await client.command('standby.sync', {}, true)
      await mirrored.machine.powerOff()
    }

    test('gets an ESP with its loaders on each disk, and a boot entry for each', async () => {
      const { lab, machine, disks } = mirrored
      const client = await bootAgent(lab, machine)
      const node = nodeOf(mirrored, 'uefi')
      await makeMirror(client, node)
      await deploy(client, node, 2)
      for (const [i, serial] of MEMBERS.entries()) {
        expect(await espOf(serial)).toMatchObject({
          ...{ offset: MiB, length: 550 * MiB, name: `uefi-holder-${i}` },
        })
        expect(await disks.filesOfEsp(serial)).toContain('::/EFI/ironswarm/BOOTX64.CSV')
      }
      const [first, second] = await superblocksOfEsps()
      expect(first).toMatchObject({ name: 'any:esp', level: 'raid1', places: 2 })
      expect(second).toEqual(first)
      const file = join(`${FOLDER}-uefi`, 'node-1.uefi-variables')
      const variables = (await readFile(file)).toString('utf16le')
      for (const i of MEMBERS.keys())
        expect(variables).toContain(`ironswarm instance (RAID, part${i})\0`)
    })

    test.each(STARTS)('starts from %s', async (_, left) => {
      expectStarted(await start(mirrored, left), 'uefi', left)
    })

    test('gets its loaders on a disk that comes to a mirror of ESPs that was made of one', async () => {
      const { lab, machine, disks } = mirrored
      await leaveOneEsp(mirrored)
      expect((await superblocksOfEsps()).map(({ name, places }) => [name, places])).toEqual([
        ['any:esp', 1],
        ['', 0],
      ])
      const client = await bootAgent(lab, machine)
      await deploy(client, nodeOf(mirrored, 'uefi', { raid_config: MIRROR }), 1)
      const [first, second] = await superblocksOfEsps()
      expect(first).toMatchObject({ name: 'any:esp', level: 'raid1', places: 2 })
      expect(second).toEqual(first)
      expect(await disks.filesOfEsp(MEMBERS[1])).toBe(await disks.filesOfEsp(MEMBERS[0]))
      expectStarted(await start(mirrored, [1]), 'uefi', [1])
    })
  },
)

/** Makes the mirrors whole again, and then that of ESPs one that has the first disk alone and a place for no other. */
async function leaveOneEsp({ machine, disks }: Mirrored): Promise<void> {
  const [first, second] = MEMBERS.map((serial) => `$(disk ${serial})`)
  const lines = [
    `mdadm --assemble /dev/md20 --run ${first}1`,
    `mdadm --manage /dev/md20 --add ${second}1 || mdadm --manage /dev/md20 --re-add ${second}1`,
    'mdadm --wait /dev/md20 || true',
    'grep -A1 md20 /proc/mdstat | grep UU',
    `mdadm --assemble /dev/md21 --run ${first}2`,
    'mdadm --grow /dev/md21 --raid-devices=1 --force',
    `mdadm --zero-superblock ${second}2 || true`,
    `dd if=/dev/zero of=${second}2 bs=1M count=40`,
    'cat /proc/mdstat',
    'mdadm --stop /dev/md20',
    'mdadm --stop /dev/md21',
  ]
  const kernel = machine.setup.kernel
  if (!kernel) throw new Error('the laboratory gives its machine no kernel')
  const initramfs = join(disks.pathOf('..'), 'raid-boot-maker.initramfs')
  await makeArrayRamdisk(kernel.initramfs, lines, initramfs)
  machine.setup.kernel = { ...kernel, initramfs }
  const from = await machine.serial.end()
  await machine.powerOn()
  await machine.waitForPowerOff(BOOT_TIMEOUT_MS)
  machine.setup.kernel = kernel
  expect(await machine.serial.text(from)).toContain(`\n${ARRAYS_MADE}`)
}

describe.skipIf(!isReady)(
  'a partition image in a mirror, by BIOS',
  { timeout: 2 * BOOT_TIMEOUT_MS },
  () => {
    let mirrored: Mirrored

    beforeAll(async () => {
      mirrored = await createMirrored('bios', PARTITION_IMAGE)
    }, BOOT_TIMEOUT_MS)
    afterAll(() => mirrored?.[Symbol.asyncDispose]())

    test('gets its GRUB on each disk', async () => {
      const { lab, machine, disks } = mirrored
      const client = await bootAgent(lab, machine)
      await makeMirror(client, nodeOf(mirrored, 'bios'))
      await runWell(client, 'standby.prepare_image', {
        image_info: {
          ...imageInfoOf(lab),
          image_type: 'partition',
          ...{ root_gb: '1', root_mb: 512, swap_mb: 0, ephemeral_mb: 0, ephemeral_format: null },
          ...{ preserve_ephemeral: false, deploy_boot_mode: 'bios', disk_label: 'gpt' },
        },
        configdrive: await lab.configDrive(machine),
      })
      await runWell(client, 'image.install_bootloader', {
        ...{ root_uuid: ROOT_FS_UUID, efi_system_part_uuid: null, prep_boot_part_uuid: null },
        target_boot_mode: 'bios',
      })
      await client.command('standby.sync', {}, true)
      await machine.powerOff()
      for (const serial of MEMBERS) {
        const partitions = await disks.partitionsOf(serial)
        expect(partitions.map(({ type }) => type === BIOS_BOOT_TYPE)).toEqual([false, true])
        const disk = (await readFile(disks.pathOf(serial))).subarray(0, 440)
        expect(disk.includes('GRUB')).toBe(true)
      }
    })

    test.each(STARTS)('starts from %s', async (_, left) => {
      expectStarted(await start(mirrored, left), 'bios', left)
    })
  },
)
