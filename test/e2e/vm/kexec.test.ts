// An instance starts out of the ramdisk without firmware: run_image with ipa-kexec=1, beside the reboot it replaces.
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { SMALL_IMAGE } from '../../support/vm/ironic-lab.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { findRamdisk } from '../../support/vm/ramdisk.ts'
import { BOOT_TIMEOUT_MS, bootAgent, imageInfoOf, runWell } from './agent-steps.ts'
import { logIn, report, waitForInstance } from './deploys.ts'
import { bootFromDisk, createVmLab, type VmLab } from './lab.ts'
import { canBootMachines } from './requirements.ts'

const FOLDER = join(import.meta.dirname, '../../../build/test-vm/kexec')

describe.skipIf(!canBootMachines())('run_image', { timeout: 4 * BOOT_TIMEOUT_MS }, () => {
  test.each(['bios', 'uefi'] as const)(
    'with ipa-kexec=1 starts the instance without another start of %s',
    async (firmware) => {
      await using lab = await createVmLab(
        {
          ...{ nodes: 1, boot: 'direct', firmware, isSwarm: false, image: SMALL_IMAGE },
          ...{ memoryMib: 512, ramdisk: findRamdisk(process.env) },
        },
        `${FOLDER}-${firmware}`,
        'any',
      )
      const machine = lab.machines[0] as QemuMachine
      const { setup } = machine
      const ramdisk = { ...setup }

      const byReboot = await deployAndStart(lab, machine, '')
      expect(byReboot.starts).toBe(1)
      expect(byReboot.said).not.toContain('the kernel of the instance starts')

      await machine.powerOff()
      Object.assign(setup, ramdisk)
      const byKexec = await deployAndStart(lab, machine, 'ipa-kexec=1')
      // no reset in between: the machine is still in the start of its ramdisk
      expect(byKexec.starts).toBe(0)
      expect(byKexec.said).toContain('the instance is started by kexec: /vmlinuz')
      expect(byKexec.said).toContain('the kernel of the instance starts')
      expect(byKexec.words).toContain(`firmware=${firmware} hostname=${machine.name}`)
      await logIn(machine)
      report(`${machine.name}, ${firmware}`, {
        'run_image to login by kexec': byKexec.seconds,
        'by reboot': byReboot.seconds,
      })
      await machine.powerOff()
    },
  )
})

/** Boots the ramdisk, writes the image, has it run; what came until the login prompt. */
async function deployAndStart(lab: VmLab, machine: QemuMachine, words: string) {
  const client = await bootAgent(lab, machine, words)
  await runWell(client, 'standby.prepare_image', {
    image_info: imageInfoOf(lab),
    configdrive: await lab.configDrive(machine),
  })
  // what a reset starts from
  bootFromDisk(machine)
  const { boots } = machine
  const from = await machine.serial.end()
  const began = performance.now()
  // as the conductor ends a deploy
  await client.command('standby.sync', {}, true)
  await client.command('standby.run_image', {}, false)
  const { words: marker, console: said } = await waitForInstance(machine, from)
  const seconds = (performance.now() - began) / 1000
  return { words: marker, said, seconds, starts: machine.boots - boots }
}
