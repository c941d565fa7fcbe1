// An instance starts out of the ramdisk without firmware: by run_image with ipa-kexec=1, beside the reboot it replaces, and
// by `ironswarm write --boot`.
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { SMALL_IMAGE } from '../../support/vm/ironic-lab.ts'
import { createProbe } from '../../support/vm/probed-ramdisk.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { findRamdisk } from '../../support/vm/ramdisk.ts'
import { BOOT_TIMEOUT_MS, bootAgent, imageInfoOf, runWell } from './agent-steps.ts'
import { logIn, report, waitForInstance } from './deploys.ts'
import { bootFromDisk, createVmLab, type VmLab } from './lab.ts'
import { canBootMachines } from './requirements.ts'

const FOLDER = join(import.meta.dirname, '../../../build/test-vm/kexec')

const createLab = (firmware: 'bios' | 'uefi', name: string) =>
  createVmLab(
    {
      ...{ nodes: 1, boot: 'direct', firmware, isSwarm: false, image: SMALL_IMAGE },
      ...{ memoryMib: 512, ramdisk: findRamdisk(process.env) },
    },
    `${FOLDER}-${name}`,
    'any',
  )

describe.skipIf(!canBootMachines())('run_image', { timeout: 4 * BOOT_TIMEOUT_MS }, () => {
  test.each(['bios', 'uefi'] as const)(
    'with ipa-kexec=1 starts the instance without another start of %s',
    async (firmware) => {
      await using lab = await createLab(firmware, firmware)
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

describe.skipIf(!canBootMachines())('write --boot', { timeout: 2 * BOOT_TIMEOUT_MS }, () => {
  test('starts the instance without another start of the firmware', async () => {
    await using lab = await createLab('bios', 'write')
    const machine = lab.machines[0] as QemuMachine
    const { kernel } = machine.setup
    if (!kernel) throw new Error('the laboratory gives its machine no kernel')
    // the machine ends while the command runs, so nobody waits for it
    const write = [
      `echo '${JSON.stringify(imageInfoOf(lab))}' >/tmp/image.json`,
      'ironswarm write --image-info /tmp/image.json --device /dev/vda --boot >/dev/console 2>&1 </dev/null &',
    ]
    const { initramfs } = findRamdisk(process.env)
    await using probe = await createProbe(initramfs, [write.join('\n')], `${FOLDER}-write`)
    machine.setup.kernel = { ...kernel, initramfs: probe.initramfs }
    await bootAgent(lab, machine)
    bootFromDisk(machine)
    const { words, console: said } = await waitForInstance(machine, 0)
    expect(machine.boots).toBe(1)
    expect(said).toMatch(/image is on \/dev\/vda: read back, sha256/)
    expect(said).toContain('the instance is started by kexec: /vmlinuz')
    expect(words).toContain('firmware=bios')
    await machine.powerOff()
  })
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
