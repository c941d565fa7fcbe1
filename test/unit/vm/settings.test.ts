import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readSettings, readWords } from '../../e2e/vm/settings.ts'

let folder: string
let built: Record<string, string>

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-settings-'))
  const prefix = join(folder, 'ramdisk')
  for (const name of ['ramdisk.kernel', 'ramdisk.initramfs', 'image.raw']) {
    await writeFile(join(folder, name), name)
  }
  built = { VM_RAMDISK: prefix, IMAGE: join(folder, 'image.raw') }
})

afterAll(() => rm(folder, { recursive: true, force: true }))

test('what is not said is PXE, one machine, HTTP', async () => {
  const settings = await readSettings({ ...built, FIRMWARE: 'uefi' })
  expect(settings).toMatchObject({ nodes: 1, boot: 'pxe', firmware: 'uefi', isSwarm: false })
  expect(settings.ramdisk.kernel).toBe(join(folder, 'ramdisk.kernel'))
})

test('several machines share the image unless told not to', async () => {
  expect((await readSettings({ ...built, NODES: '3' })).isSwarm).toBe(true)
  expect((await readSettings({ ...built, NODES: '3', SWARM: 'off' })).isSwarm).toBe(false)
})

test.each([
  [{ NODES: '0' }, 'NODES=0 is not a whole number from 1 to 16'],
  [{ BOOT: 'floppy' }, 'BOOT=floppy is none of pxe, iso, direct'],
  [{ FIRMWARE: 'coreboot' }, 'FIRMWARE=coreboot is none of bios, uefi'],
  [{ MEMORY: '64' }, 'MEMORY=64 is not a whole number from 256 to 65536'],
  [{ IMAGE: '/nowhere.raw' }, '/nowhere.raw is not an image file'],
  [{ VM_RAMDISK: '/nowhere' }, '/nowhere.kernel, /nowhere.initramfs not built'],
])('%j is refused in words', async (wrong, words) => {
  await expect(readSettings({ ...built, ...wrong })).rejects.toThrow(words)
})

test.each([
  [{ IRONIC: '7' }, "IRONIC=7: make vm takes IRONIC=1, Debian's Ironic, or none, its stand-in"],
  [{ ACCEL: 'xen' }, 'ACCEL=xen is none of auto, kvm, tcg'],
  [{ BOOT: 'floppy' }, 'BOOT=floppy is none of pxe, iso, direct'],
  [{ IMAGE: '/nowhere.raw' }, '/nowhere.raw is not an image file'],
  [{ IRONIC: '1', BOOT: 'iso', NODES: '2' }, /leave out NODES=2 BOOT=iso$/],
])('%j is refused before anything is built', async (wrong, words) => {
  await expect(readWords({ VM_RAMDISK: '/nowhere', ...wrong })).rejects.toThrow(words)
})

test('what is built later need not be there before, and nothing of it is asked for', async () => {
  const words = await readWords({ VM_RAMDISK: '/nowhere', IRONIC: '1', FIRMWARE: 'UEFI', BOOT: '' })
  expect(words).toMatchObject({ byIronic: true, nodes: 1, boot: 'pxe', firmware: 'uefi' })
})
