import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { mkdir, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { exec } from '../../../agent/system/exec.ts'
import { createBusyboxRoot } from '../../support/image-root/busybox-root.ts'
import { createDebianRoot } from '../../support/image-root/debian-root.ts'
import {
  createWrittenDisk,
  ROOT_FS_UUID,
  type WrittenDisk,
} from '../../support/image-root/written-disk.ts'
import { processesWith, secondsOfOurOwn } from '../../support/processes.ts'
import { keepUntilEnd } from '../../support/resources.ts'
import {
  BOOT_CODE,
  bootCodeOf,
  canInstallGrub,
  createGrubDisk,
  FAKE_GRUB,
  type GrubDiskOptions,
  install,
} from './grub-lab.ts'

const run = promisify(execFile)
const canRun = canInstallGrub()
const keep = keepUntilEnd()
let disk: WrittenDisk | undefined
afterEach(async () => {
  expect(await disk?.mounts()).toEqual(disk ? [] : undefined)
  disk = undefined
})

async function createDisk(options: GrubDiskOptions = {}) {
  disk = keep(await createGrubDisk(options))
  return disk
}

describe.skipIf(!canRun)('GRUB out of an image, under BIOS', () => {
  test.each(['gpt', 'dos'] as const)(
    'is installed to a %s disk, then makes its menu',
    async (label) => {
      const { path, readRoot, checkRoot } = await createDisk({ label })
      await install(path)
      expect(await readRoot('/called')).toBe(
        `grub-install --target=i386-pc ${path}\ngrub-mkconfig -o /boot/grub/grub.cfg true true\n`,
      )
      expect(await bootCodeOf(path)).toBe(BOOT_CODE)
      expect(await readRoot('/etc/fstab')).toBeUndefined()
      await checkRoot()
    },
  )

  test('is called grub2 where the image calls it so', async () => {
    const { path, readRoot } = await createDisk({
      files: {
        '/usr/sbin/grub2-install': '#!/bin/sh\necho "grub2-install $*" >> /called',
        '/usr/sbin/grub2-mkconfig': '#!/bin/sh\necho "grub2-mkconfig $*" >> /called',
      },
    })
    await install(path)
    expect(await readRoot('/called')).toBe(
      `grub2-install --target=i386-pc ${path}\ngrub2-mkconfig -o /boot/grub2/grub.cfg\n`,
    )
  })

  test('goes to the PReP partition where Ironic names one', async () => {
    const { path, readRoot, nameOf } = await createDisk()
    const { stdout } = await run('sfdisk', ['--part-uuid', path, '1'])
    await install(path, { prepBootPartUuid: stdout.trim() })
    expect(await readRoot('/called')).toContain(`grub-install /dev/${nameOf(1)}\n`)
  })

  test('sees the root file system by its UUID, as grub-mkconfig asks for it', async () => {
    const files = {
      ...FAKE_GRUB,
      '/usr/sbin/grub-mkconfig': '#!/bin/sh\nfor link in /dev/disk/*/*; do readlink $link; done',
    }
    const { path, nameOf } = await createDisk({ files })
    const lines: string[] = []
    await install(path, {}, (line) => lines.push(line))
    const nodes = [nameOf(2), nameOf(1), nameOf(2)].map((name) => `/dev/${name}`)
    const { output } = JSON.parse(lines.at(-1) as string)
    expect(output.trim().split('\n').slice(-3).sort()).toEqual(nodes.sort())
  })

  test('is not asked where the disk has boot code and a partition to start', async () => {
    const { path, readRoot } = await createDisk({ label: 'dos' })
    await run('sh', ['-c', `printf 'code of its own' | dd of=${path} conv=notrunc`])
    await install(path)
    expect(await readRoot('/called')).toBeUndefined()
    expect(await bootCodeOf(path)).toBe('code of its own')
  })

  test.each(['e2d6ea51-0000-4000-8000-000000000002', '', 'rootfs'])(
    'is not asked for a root file system %j that is not of this disk',
    async (rootUuid) => {
      const { path, readRoot } = await createDisk()
      await expect(install(path, { rootUuid })).rejects.toMatchObject({ type: 'DeviceNotFound' })
      expect(await readRoot('/called')).toBeUndefined()
    },
  )
})

const MARK = secondsOfOurOwn()
/** What the image's own programs make of it, and what the error says. */
const FAILURES: [string, Readonly<Record<string, string>>, string][] = [
  ['is not there', {}, 'neither grub2-install nor grub-install'],
  [
    'fails',
    { '/usr/sbin/grub-install': '#!/bin/sh\necho "will not proceed with blocklists" >&2\nexit 1' },
    'will not proceed with blocklists',
  ],
  [
    'is installed, and its menu fails',
    { ...FAKE_GRUB, '/usr/sbin/grub-mkconfig': '#!/bin/sh\necho "no kernel" >&2\nexit 9' },
    'ended with 9: ',
  ],
  [
    'leaves a daemon that writes boot code for ever',
    {
      '/usr/sbin/grub-install': `#!/bin/sh
(setsid sh -c "while :; do printf evil | dd of=$2 conv=notrunc; : ${MARK}; done" > /dev/null 2>&1 < /dev/null &)
sleep 1
exit 1`,
    },
    'ended with 1',
  ],
]

describe.skipIf(!canRun)('GRUB out of an image that does not work', () => {
  test.each(FAILURES)(
    'because it %s leaves a disk that does not boot, and says so',
    async (_, files, details) => {
      const { path, checkRoot } = await createDisk({ files })
      await expect(install(path)).rejects.toMatchObject({
        type: 'InvalidImage',
        details: expect.stringContaining(details),
      })
      await expect(install(path)).rejects.toThrow(`${path} does not boot`)
      expect(await bootCodeOf(path)).toBe('')
      expect(await processesWith(MARK)).toEqual([])
      await checkRoot()
    },
  )

  test('leaves no boot code of a disk whose other partition is held, as an array holds its members', async () => {
    const files = { ...FAKE_GRUB, '/usr/sbin/grub-mkconfig': '#!/bin/sh\nexit 9' }
    const { path, nameOf } = await createDisk({ files })
    await run('partx', ['--update', path])
    await using _holder = await open(`/dev/${nameOf(1)}`, constants.O_RDONLY | constants.O_EXCL)
    await expect(install(path)).rejects.toThrow(`${path} does not boot`)
    expect(await bootCodeOf(path)).toBe('')
  })

  test('says what was wrong first where its boot code cannot be taken away', async () => {
    const files = { ...FAKE_GRUB, '/usr/sbin/grub-mkconfig': '#!/bin/sh\nexit 9' }
    const { path } = await createDisk({ files })
    // write-protected as soon as its GRUB was there: what is mounted is known by then
    const protectsAfter: typeof exec = async (argv, options) => {
      const result = await exec(argv, options)
      if (argv.includes('unshare')) await run('blockdev', ['--setro', path])
      return result
    }
    try {
      await expect(install(path, { exec: protectsAfter })).rejects.toMatchObject({
        type: 'InvalidImage',
        details: expect.stringMatching(
          new RegExp(
            `^${path} may not boot, .* ended with 9: .*cannot be removed: .*write-protected`,
            's',
          ),
        ),
      })
    } finally {
      await run('blockdev', ['--setrw', path])
    }
  })

  test('leaves what it has done where the machine is started all the same', async () => {
    const files = { ...FAKE_GRUB, '/usr/sbin/grub-mkconfig': '#!/bin/sh\nexit 9' }
    const { path } = await createDisk({ files })
    await expect(install(path, { keepsPartial: true })).rejects.toThrow(`${path} may not boot`)
    expect(await bootCodeOf(path)).toBe(BOOT_CODE)
  })
})

describe.skipIf(!canRun)('loaders that an image brings for its ESP', () => {
  // this kernel may have no FAT; the scripts do not know what file system it is, only mtools do afterwards
  const FILES = {
    ...FAKE_GRUB,
    '/boot/efi/EFI/BOOT/BOOTX64.EFI': 'shim',
    '/boot/efi/EFI/test/grubx64.efi': 'grub',
    '/etc/fstab': 'UUID=1 / ext4 defaults 0 1',
  }

  async function createEspDisk(
    options: GrubDiskOptions & { readonly espFiles?: Record<string, string> },
  ) {
    const { files = FILES, links = {}, espFiles = {} } = options
    const root = keep(await createBusyboxRoot(files))
    for (const [path, target] of Object.entries(links)) await root.link(path, target)
    const made = keep(
      await createWrittenDisk({
        label: 'gpt',
        partitions: ['start=2048,size=61440', 'start=65536,size=16384,type=U'],
        root: { startMiB: 1, sizeMiB: 30, folder: root.folder },
        diskMiB: 44,
      }),
    )
    const esp = keep(await createBusyboxRoot()).folder
    await mkdir(join(esp, 'esp'))
    for (const [path, text] of Object.entries(espFiles))
      await run('sh', ['-c', `echo '${text}' > ${esp}/esp/${path}`])
    await run('mke2fs', ['-q', '-t', 'ext4', '-d', join(esp, 'esp'), join(esp, 'fs'), '8M'])
    await run('dd', [
      `if=${join(esp, 'fs')}`,
      `of=${made.path}`,
      'bs=1M',
      'seek=32',
      'conv=notrunc',
    ])
    disk = made
    const readEsp = async (path: string) => {
      await run('blockdev', ['--flushbufs', made.path])
      await run('dd', [`if=${made.path}`, `of=${join(esp, 'fs')}`, 'bs=1M', 'skip=32', 'count=8'])
      const { stdout, stderr } = await run('debugfs', ['-R', `cat ${path}`, join(esp, 'fs')])
      return stderr.includes('not found') ? undefined : stdout
    }
    const { stdout } = await run('sfdisk', ['--part-uuid', made.path, '2'])
    return { ...made, readEsp, espUuid: stdout.trim() }
  }

  test('are copied, with a menu beside GRUB, and the ESP is in fstab once', async () => {
    const { path, readEsp, readRoot, espUuid, checkRoot } = await createEspDisk({})
    await install(path, { efiSystemPartUuid: espUuid })
    expect(await readEsp('/EFI/BOOT/BOOTX64.EFI')).toBe('shim')
    expect(await readEsp('/EFI/test/grub.cfg')).toBe(
      `search --no-floppy --fs-uuid --set=root ${ROOT_FS_UUID}\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n`,
    )
    const line =
      /^UUID=1 \/ ext4 defaults 0 1\nUUID=[\da-f-]{36} \/boot\/efi vfat umask=0077 0 1\n$/
    expect(await readRoot('/etc/fstab')).toMatch(line)
    await install(path, { efiSystemPartUuid: espUuid })
    expect(await readRoot('/etc/fstab')).toMatch(line)
    expect(await readRoot('/called')).not.toContain('grub-install')
    await checkRoot()
  })

  test.each<[string, string[], boolean]>([
    ['are no use without EFI/BOOT where no boot entry can be made', ['debian/shimx64.efi'], true],
    ['nor with those of other firmware there', ['BOOT/bootia32.efi', 'BOOT/BOOTX64.CSV'], true],
    ['are found in any case', ['boot/BootX64.efi'], false],
  ])('%s', async (_, loaders, needsGrub) => {
    const brought = loaders.map((name) => [`/boot/efi/EFI/${name}`, 'loader'])
    const { path, readRoot, espUuid } = await createEspDisk({
      files: { ...FAKE_GRUB, ...Object.fromEntries(brought) },
    })
    await install(path, { efiSystemPartUuid: espUuid })
    const called = await readRoot('/called')
    expect(called?.includes('grub-install')).toBe(needsGrub)
  })

  test('are not there: GRUB is installed to the ESP twice, without touching the firmware', async () => {
    const { path, readRoot, espUuid } = await createEspDisk({ files: FAKE_GRUB })
    await install(path, { efiSystemPartUuid: espUuid })
    const how = 'grub-install --target=x86_64-efi --efi-directory=/boot/efi --no-nvram'
    expect(await readRoot('/called')).toBe(
      `${how}\n${how} --removable\ngrub-mkconfig -o /boot/grub/grub.cfg true true\n`,
    )
    expect(await readRoot('/etc/fstab')).toMatch(/^UUID=\S+ \/boot\/efi vfat umask=0077 0 1\n$/)
  })

  test('an fstab that is a link to a file of the machine is one to a file of the image', async () => {
    const outside = join(
      keep(await createBusyboxRoot({ '/passwd': 'root:x:0:0\n' })).folder,
      'passwd',
    )
    const { path, espUuid, readRoot } = await createEspDisk({ links: { '/etc/fstab': outside } })
    await expect(install(path, { efiSystemPartUuid: espUuid })).rejects.toThrow()
    expect(await readFile(outside, 'utf8')).toBe('root:x:0:0\n')
    expect(await readRoot(outside)).toBeUndefined()
  })

  test('a loader that is a link to a file of the machine does not bring it to the disk', async () => {
    const outside = join(keep(await createBusyboxRoot({ '/token': 'secret' })).folder, 'token')
    const links = { '/boot/efi/EFI/test/grubx64.efi': outside }
    const { path, espUuid, readEsp, readRoot } = await createEspDisk({ links })
    await install(path, { efiSystemPartUuid: espUuid })
    expect(await readEsp('/EFI/test/grubx64.efi')).toBeUndefined()
    expect(await readRoot('/called')).toContain('grub-install')
  })
})

describe.skipIf(!canRun)("Debian's own GRUB", () => {
  test.each(['gpt', 'dos'] as const)(
    'is installed from a %s disk, with a menu that finds the root by its UUID',
    async (label) => {
      const { folder } = keep(await createDebianRoot())
      const bios = 'start=2048,size=2048,type=21686148-6449-6E6F-744E-656564454649'
      disk = keep(
        await createWrittenDisk({
          label,
          partitions: [...(label === 'gpt' ? [bios] : []), 'start=4096,size=327680'],
          root: { startMiB: 2, sizeMiB: 160, folder },
          diskMiB: 164,
        }),
      )
      const { path, readRoot, checkRoot } = disk
      await install(path)
      // boot.img of GRUB says so where nothing else can be read
      expect(await bootCodeOf(path)).toContain('GRUB')
      const menu = await readRoot('/boot/grub/grub.cfg')
      expect(menu).toContain(`linux\t/boot/vmlinuz-6.1.0-1-amd64 root=UUID=${ROOT_FS_UUID} ro`)
      expect(menu).toContain(`search --no-floppy --fs-uuid --set=root`)
      expect(await readRoot('/boot/grub/i386-pc/core.img')).toBeDefined()
      await checkRoot()
      await run('sfdisk', ['--verify', path])
    },
  )
})
