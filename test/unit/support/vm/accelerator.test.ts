// Which accelerator machines get, and the early end of one that hangs.
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bootsKernel, findAccelerator } from '../../../support/vm/accelerator.ts'
import { refuseMute } from '../../../support/vm/mute-serial.ts'
import { createSerialLog } from '../../../support/vm/serial-log.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-accelerator-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A program in QEMU's place. */
async function machineThat(script: string): Promise<string> {
  const path = join(folder, `qemu-${crypto.randomUUID()}`)
  await writeFile(path, `#!/bin/sh\n${script}\n`)
  await chmod(path, 0o755)
  return path
}

test('ACCEL decides without a try, and other words are refused', async () => {
  expect(await findAccelerator('no-kernel', { ACCEL: 'kvm' })).toBe('kvm')
  expect(await findAccelerator('no-kernel', { ACCEL: 'TCG' })).toBe('tcg')
  await expect(findAccelerator('no-kernel', { ACCEL: 'xen' })).rejects.toThrow(
    'ACCEL=xen is none of auto, kvm, tcg',
  )
})

test.for([
  ['greets and then hangs', 'echo SeaBIOS; exec sleep 60', false],
  ['stops in the middle of its kernel', 'echo Linux version 6.1; exec sleep 60', false],
  ['ends at once', 'exit 1', false],
  [
    'comes to its root',
    'echo Kernel panic - not syncing: VFS: Unable to mount root; exec sleep 60',
    true,
  ],
] as const)('a machine that %s: %s', async ([, script, comesUp]) => {
  expect(await bootsKernel('kernel', 'kvm', 1500, await machineThat(script))).toBe(comesUp)
})

test('a QEMU that is not there boots nothing', async () => {
  expect(await bootsKernel('kernel', 'kvm', 1500, join(folder, 'nowhere'))).toBe(false)
})

test('a machine that goes mute ends its wait early, with what to try', async () => {
  const serial = createSerialLog(join(folder, 'mute.log'))
  await serial.note('the firmware greets')
  const machine = { name: 'node-1', serial, isOn: () => true }
  await expect(refuseMute(machine, 50, new AbortController().signal)).rejects.toThrow(
    /node-1 has said nothing on its serial console .*ACCEL=tcg/,
  )
})

test('a machine that is off may be silent, and one that has spoken to Ironic', async () => {
  const serial = createSerialLog(join(folder, 'off.log'))
  const machine = { name: 'node-1', serial, isOn: () => false }
  await refuseMute(machine, 50, AbortSignal.timeout(1200))
  await refuseMute({ ...machine, isOn: () => true }, 50, AbortSignal.abort())
})
