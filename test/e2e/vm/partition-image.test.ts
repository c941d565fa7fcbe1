// A partition image becomes an instance: its own GRUB, installed by the shipped ramdisk, starts it by real firmware.
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ROOT_FS_UUID } from '../../support/image-root/written-disk.ts'
import { hasPartitionImage, PARTITION_IMAGE } from '../../support/vm/partition-image.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { findRamdisk } from '../../support/vm/ramdisk.ts'
import { BOOT_TIMEOUT_MS, bootAgent, imageInfoOf, runWell } from './agent-steps.ts'
import { logIn, waitForInstance } from './deploys.ts'
import { bootFromDisk, createVmLab } from './lab.ts'
import { canBootMachines } from './requirements.ts'

const FOLDER = join(import.meta.dirname, '../../../build/test-vm/partition-image')

describe.skipIf(!canBootMachines() || !hasPartitionImage())(
  'a partition image',
  { timeout: 2 * BOOT_TIMEOUT_MS },
  () => {
    test.each([
      ['uefi', 'gpt'],
      ['bios', 'gpt'],
      ['bios', 'msdos'],
    ] as const)('boots by %s from a %s disk', async (firmware, label) => {
      await using lab = await createVmLab(
        {
          ...{ nodes: 1, boot: 'direct', firmware, isSwarm: false, image: PARTITION_IMAGE },
          ...{ memoryMib: 512, ramdisk: findRamdisk(process.env) },
        },
        `${FOLDER}-${firmware}-${label}`,
        'any',
      )
      const machine = lab.machines[0] as QemuMachine
      const client = await bootAgent(lab, machine)
      await runWell(client, 'standby.prepare_image', {
        image_info: {
          ...imageInfoOf(lab),
          image_type: 'partition',
          ...{ root_gb: '1', root_mb: 1024, swap_mb: 64, ephemeral_mb: 0, ephemeral_format: null },
          ...{ preserve_ephemeral: false, deploy_boot_mode: firmware, disk_label: label },
        },
        configdrive: await lab.configDrive(machine),
      })
      const uuids = await runWell(client, 'standby.get_partition_uuids', {})
      expect(uuids).toMatchObject({ 'root uuid': ROOT_FS_UUID })
      await runWell(client, 'image.install_bootloader', {
        root_uuid: ROOT_FS_UUID,
        efi_system_part_uuid: uuids['efi system partition uuid'] ?? null,
        prep_boot_part_uuid: null,
        target_boot_mode: firmware,
      })
      await machine.powerOff()

      bootFromDisk(machine)
      const from = await machine.serial.end()
      await machine.powerOn()
      const { words, console: said } = await waitForInstance(machine, from)
      expect(words).toContain(`firmware=${firmware} hostname=${machine.name}`)
      const espLine = /UUID=[\dA-F]{4}-[\dA-F]{4} \/boot\/efi vfat umask=0077 0 1/
      if (firmware === 'uefi') expect(said).toMatch(espLine)
      await logIn(machine)
      await machine.powerOff()
    })
  },
)
