import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findKernel } from '../../../../agent/disk/instance-kernel/find-kernel.ts'
import { unseenOf } from '../../../../agent/disk/instance-kernel/image-disk.ts'
import { matchesGlob } from '../../../../agent/disk/instance-kernel/systemd-boot.ts'
import { type MemoryPartition, memoryDisk } from '../../../support/instance-kernel/memory-disk.ts'
import {
  BOOT_UUID,
  DEBIAN_MENU,
  espMenu,
  MACHINE_ID,
  ROOT_UUID,
} from '../../../support/instance-kernel/menus.ts'

const find = (firmware: 'uefi' | 'bios', ...partitions: readonly MemoryPartition[]) =>
  findKernel(memoryDisk(...partitions), firmware)

const debian: MemoryPartition = {
  uuid: ROOT_UUID,
  files: { '/boot/grub/grub.cfg': DEBIAN_MENU, '/etc/os-release': '' },
}
const esp = (files: Readonly<Record<string, string>>): MemoryPartition => ({
  type: 'vfat',
  isEsp: true,
  files,
})

describe('GRUB', () => {
  test('begins on the ESP under UEFI, below /boot under BIOS', async () => {
    const files = { '/EFI/debian/grub.cfg': espMenu(ROOT_UUID, '/boot/grub') }
    expect(await find('uefi', esp(files), debian)).toMatchObject({
      from: '/EFI/debian/grub.cfg on partition 1',
      kernel: { partition: 2, path: '/boot/vmlinuz-6.1.0-28-amd64' },
    })
    expect(await find('bios', esp(files), debian)).toMatchObject({
      from: '/boot/grub/grub.cfg on partition 2',
      kernel: { partition: 2, path: '/boot/vmlinuz-6.1.0-28-amd64' },
    })
  })

  test("is read from a vendor's folder before that of BOOT", async () => {
    const files = {
      '/EFI/BOOT/grub.cfg': 'linux /wrong\nboot',
      '/EFI/ubuntu/grub.cfg': 'linux /right\nboot',
    }
    expect(await find('uefi', esp(files))).toMatchObject({ kernel: { path: '/right' } })
  })

  test('of several systems is not chosen from', async () => {
    const files = { '/EFI/a/grub.cfg': '', '/EFI/b/grub.cfg': '' }
    await expect(find('uefi', esp(files), debian)).rejects.toThrow(/menus of several systems/)
  })

  test('on two partitions is not chosen from, on one the first place counts', async () => {
    const old = { files: { '/boot/grub/grub.cfg': 'linux /old\nboot' } }
    const boot = { files: { '/grub2/grub.cfg': 'linux /new\nboot' } }
    await expect(find('bios', old, boot)).rejects.toThrow(
      'several partitions have a menu: /boot/grub/grub.cfg on partition 1, /grub2/grub.cfg on partition 2',
    )
    const both = { files: { ...boot.files, ...old.files } }
    expect(await find('bios', both)).toMatchObject({ kernel: { path: '/old' } })
  })

  test('that is not understood is not replaced by a guess', async () => {
    const files = {
      '/boot/grub2/grub.cfg': 'menuentry a {\nchainloader +1\n}',
      '/boot/loader/entries/a.conf': 'linux /vmlinuz\n',
      '/boot/vmlinuz-1': '',
      '/boot/initrd.img-1': '',
      '/etc/os-release': '',
    }
    await expect(find('bios', { files })).rejects.toThrow(
      '/boot/grub2/grub.cfg on partition 1: line 2: the command "chainloader" is not followed',
    )
  })
})

describe('entries of the Boot Loader Specification', () => {
  const entry = (version: string, more = '') =>
    `title Linux\nversion ${version}\nmachine-id ${MACHINE_ID}\nsort-key debian\n` +
    `linux /${MACHINE_ID}/${version}/linux\ninitrd /${MACHINE_ID}/${version}/microcode\n` +
    `initrd /${MACHINE_ID}/${version}/initrd\noptions root=UUID=${ROOT_UUID}\noptions quiet\n${more}`
  const systemdBoot = { '/EFI/systemd/systemd-bootx64.efi': 'MZ' }

  test('are started by systemd-boot, the newest first, with all its initrds', async () => {
    const files = {
      ...systemdBoot,
      '/loader/entries/a-6.1.conf': entry('6.1'),
      '/loader/entries/a-6.10.conf': entry('6.10'),
      '/loader/entries/a-6.11+0-3.conf': entry('6.11'),
    }
    expect(await find('uefi', esp(files), debian)).toMatchObject({
      from: 'loader/entries of systemd-boot',
      kernel: { partition: 1, path: `/${MACHINE_ID}/6.10/linux` },
      initrds: [
        { partition: 1, path: `/${MACHINE_ID}/6.10/microcode` },
        { partition: 1, path: `/${MACHINE_ID}/6.10/initrd` },
      ],
      commandLine: `root=UUID=${ROOT_UUID} quiet`,
    })
  })

  test('below /boot of the root are none of systemd-boot', async () => {
    const files = { ...systemdBoot, '/loader/entries/a-6.1.conf': entry('6.1') }
    const root = { files: { '/boot/loader/entries/a-6.2.conf': entry('6.2') } }
    expect(await find('uefi', esp(files), root)).toMatchObject({
      kernel: { partition: 1, path: `/${MACHINE_ID}/6.1/linux` },
    })
  })

  test.each(['a-6.1.conf', 'a-6.?', '*-6.1.conf'])(
    'the default of loader.conf is %s',
    async (wanted) => {
      const files = {
        ...systemdBoot,
        '/loader/loader.conf': `timeout 3\ndefault ${wanted}\n`,
        '/loader/entries/a-6.1.conf': entry('6.1'),
        '/loader/entries/a-6.10.conf': entry('6.10'),
      }
      expect(await find('uefi', esp(files))).toMatchObject({
        kernel: { path: `/${MACHINE_ID}/6.1/linux` },
      })
    },
  )

  test('are found below /boot without any boot loader', async () => {
    const files = { '/boot/loader/entries/x.conf': 'linux boot/vmlinuz\ninitrd /boot/i\n' }
    expect(await find('bios', { files })).toMatchObject({
      from: 'loader/entries',
      kernel: { partition: 1, path: '/boot/vmlinuz' },
    })
  })

  test('of another architecture are none', async () => {
    const other = process.arch === 'x64' ? 'aa64' : 'x64'
    const files = { '/loader/entries/x.conf': `linux /a\narchitecture ${other}\n` }
    await expect(find('uefi', esp(files))).rejects.toThrow(/no menu and no kernel was found/)
  })

  test.each([
    ['spaces', `title x${' '.repeat(60_000)}y`],
    ['spaces before a key', `${' '.repeat(60_000)}title`],
    ['line separators', `title x${'\u2028'.repeat(20_000)}y`],
    ['spaces and line separators', `title${' \u2028'.repeat(12_000)}`],
    ['one letter', `title ${'x'.repeat(60_000)}`],
  ])('are read at a glance, whatever they hold: %s', async (_, line) => {
    const files = Object.fromEntries(
      Array.from({ length: 256 }, (__, at) => [
        `/loader/entries/${at + 100}.conf`,
        `${line}\nlinux /${at + 100}\n`,
      ]),
    )
    expect(await find('uefi', esp({ ...systemdBoot, ...files }))).toMatchObject({
      kernel: { path: '/355' },
    })
  })

  test.each([
    [4096, undefined],
    [4097, /the kernel line has 4097 characters, more than the 4096/],
  ])('with a kernel line of %i characters', async (length, reason) => {
    const text = `linux /a\noptions ${'x'.repeat(length)}\n`
    const found = find('uefi', esp({ ...systemdBoot, '/loader/entries/x.conf': text }))
    if (reason) await expect(found).rejects.toThrow(reason)
    else expect((await found).commandLine).toHaveLength(length)
  })

  test.each([
    [
      'a device tree',
      { '/loader/entries/x.conf': 'linux /a\ndevicetree /b\n' },
      /needs devicetree/,
    ],
    ['an EFI program', { '/loader/entries/x.conf': 'efi /shell.efi\n' }, /needs efi/],
    ['a unified kernel image', { '/EFI/Linux/x.efi': 'MZ' }, /unified kernel images/],
  ])('with %s are refused', async (_, files, reason) => {
    await expect(find('uefi', esp({ ...systemdBoot, ...files }))).rejects.toThrow(reason)
  })
})

describe('names of kernels', () => {
  const NAMES = {
    '/boot/vmlinuz-6.1.0-9-amd64': '',
    '/boot/initrd.img-6.1.0-9-amd64': '',
    '/boot/vmlinuz-6.1.0-28-amd64': '',
    '/boot/initrd.img-6.1.0-28-amd64': '',
    '/boot/vmlinuz-6.12.0': '',
    '/boot/vmlinuz-7.0-rescue': '',
    '/boot/initrd.img-7.0-rescue': '',
    '/etc/os-release': '',
  }

  test('count where there is no menu: the newest that has an initrd', async () => {
    expect(await find('bios', {}, { uuid: ROOT_UUID, files: NAMES })).toMatchObject({
      from: 'names of files',
      kernel: { partition: 2, path: '/boot/vmlinuz-6.1.0-28-amd64' },
      initrds: [{ partition: 2, path: '/boot/initrd.img-6.1.0-28-amd64' }],
      commandLine: `root=UUID=${ROOT_UUID} ro`,
    })
  })

  test('on a partition of their own are started with the line that kernel-install keeps', async () => {
    const root = {
      uuid: ROOT_UUID,
      files: { '/usr/lib/os-release': '', '/etc/kernel/cmdline': 'root=/dev/x\nrw\n' },
    }
    const boot = { uuid: BOOT_UUID, files: { '/vmlinuz-5.14': '', '/initramfs-5.14.img': '' } }
    expect(await find('uefi', boot, root)).toMatchObject({
      kernel: { partition: 1, path: '/vmlinuz-5.14' },
      initrds: [{ partition: 1, path: '/initramfs-5.14.img' }],
      commandLine: 'root=/dev/x rw',
    })
  })

  test.each([
    ['crypto_LUKS', 'an encrypted volume'],
    ['LVM2_member', 'LVM'],
    ['squashfs', 'squashfs'],
  ])('are not gone by where a partition holds %s', async (type, name) => {
    const recovery = { uuid: ROOT_UUID, files: NAMES }
    await expect(find('bios', {}, recovery, { type })).rejects.toThrow(
      `no menu was found; there is ${name} on partition 3, which is not read here`,
    )
  })

  test('are gone by beside swap and what nothing is known of, not beside partitions left out', async () => {
    expect(
      await find('bios', { uuid: ROOT_UUID, files: NAMES }, { type: 'swap' }, { type: '' }),
    ).toMatchObject({ from: 'names of files' })
    expect(unseenOf([], 3)).toBe('3 partitions beyond 32, which are not read')
  })

  test('without a UUID of the root are refused', async () => {
    await expect(find('bios', { files: NAMES })).rejects.toThrow(/no UUID/)
  })
})

test('an image on LVM is told as what it is', async () => {
  await expect(find('bios', {}, { type: 'LVM2_member' })).rejects.toThrow(
    'no menu was found; there is LVM on partition 2, which is not read here',
  )
})

test('a glob matches what its letters and stars say, however many there are', () => {
  const text = fc.string({ unit: fc.constantFrom(...'ab'), maxLength: 8 })
  const pattern = fc.string({ unit: fc.constantFrom(...'ab*?'), maxLength: 8 })
  fc.assert(
    fc.property(text, pattern, (name, glob) => {
      const expression = new RegExp(`^${glob.replaceAll('*', '.*').replaceAll('?', '.')}$`)
      expect(matchesGlob(name, glob)).toBe(expression.test(name))
    }),
  )
  expect(matchesGlob('a'.repeat(5000), `${'*a'.repeat(500)}b`)).toBe(false)
})
