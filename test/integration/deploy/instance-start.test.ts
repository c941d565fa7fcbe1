import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import {
  cancelIfAborted,
  type InstanceStartDeps,
  prepareInstanceStart,
} from '../../../agent/deploy/instance-start.ts'
import { type Exec, exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import {
  createInstanceDisk,
  type InstanceDisk,
} from '../../support/instance-kernel/instance-disk.ts'
import { DEBIAN_MENU, espMenu, ROOT_UUID } from '../../support/instance-kernel/menus.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { keepUntilEnd } from '../../support/resources.ts'

const run = promisify(execFile)
const canRun = hasLoopDevices('kernels of an image') && hasPackages('boot-loaders')
const keep = keepUntilEnd()
const KERNEL = randomBytes(300_001)
const INITRD = randomBytes(200_002)
const VERSION = '6.1.0-28-amd64'
const DEBIAN = {
  '/boot/grub/grub.cfg': DEBIAN_MENU,
  [`/boot/vmlinuz-${VERSION}`]: KERNEL,
  [`/boot/initrd.img-${VERSION}`]: INITRD,
  '/etc/os-release': 'ID=debian\n',
}

/** The agent's dependencies, but for kexec, which this machine may not have, and the end of the machine. */
function createDeps(answer: Error | undefined = undefined) {
  const loaded: { argv: readonly string[]; kernel: Buffer; initrd: Buffer | undefined }[] = []
  const ends: string[] = []
  const lines: string[] = []
  const kexec: Exec = async (argv, options) => {
    if (argv[0] !== 'kexec') return await exec(argv, options)
    if (argv[1] === '--unload') ends.push('unload')
    else if (answer) throw answer
    else {
      const initrd = argv.find((word) => word.startsWith('--initrd='))?.slice('--initrd='.length)
      loaded.push({
        argv,
        kernel: await readFile(argv.at(-1) ?? ''),
        initrd: initrd === undefined ? undefined : await readFile(initrd),
      })
    }
    return { stdout: '', stderr: '', exitCode: 0 }
  }
  const deps: InstanceStartDeps = {
    exec: kexec,
    root: createRoot('/'),
    log: createLogger({ level: 'info', destination: { write: (line) => lines.push(line) } }),
    machineControl: 'real',
    power: {
      reboot: async () => void ends.push('reboot'),
      startLoadedKernel: async () => void ends.push('kexec'),
    },
  }
  return { deps, loaded, ends, lines }
}

const never = () => new AbortController().signal

let disk: InstanceDisk | undefined
async function createDisk(options: Partial<Parameters<typeof createInstanceDisk>[0]> = {}) {
  disk = keep(await createInstanceDisk({ root: 'ext4', files: DEBIAN, esp: {}, ...options }))
  return disk
}

/** What this file's tests make is in it, and nobody else's. */
let folder: string
const { TMPDIR } = process.env
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-start-'))
  process.env['TMPDIR'] = folder
  return () => rm(folder, { recursive: true, force: true })
})

/** Nothing is mounted in any namespace, no loop device lies over the disk, no copy of a kernel is left. */
afterEach(async () => {
  if (TMPDIR === undefined) delete process.env['TMPDIR']
  else process.env['TMPDIR'] = TMPDIR
  const { stdout } = await run('losetup', ['--list', '--noheadings', '--output=BACK-FILE'])
  expect(stdout.split('\n')).not.toContain(disk?.path)
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    const mounts = await readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => '')
    expect(mounts).not.toContain(`${folder}/`)
  }
  const left = (await readdir(folder)).filter((name) => /^ironswarm-k(exec|ernel)-/.test(name))
  expect(left).toEqual([])
  disk = undefined
})

describe.skipIf(!canRun)('the start of an instance', () => {
  test.each([
    ['ext4', 'uefi', '/EFI/debian/grub.cfg on partition 1'],
    ['xfs', 'uefi', '/EFI/debian/grub.cfg on partition 1'],
    ['btrfs', 'bios', '/boot/grub/grub.cfg on partition 2'],
  ] as const)(
    'loads from %s under %s what %s leads to, and writes nothing',
    async (type, firmware, from) => {
      const esp = { '/EFI/debian/grub.cfg': espMenu(ROOT_UUID, '/boot/grub') }
      const { path, sha256 } = await createDisk({ root: type, esp })
      const before = await sha256()
      const tree = keep(await createTree({}, firmware))
      const { deps, loaded, ends, lines } = createDeps()
      const start = await prepareInstanceStart(path, { ...deps, root: tree.root }, never())
      expect(start.sentence).toBe(
        `the instance is started by kexec: /boot/vmlinuz-${VERSION} as ${from} has it; ` +
          'not signed, nothing asks for a signature',
      )
      expect(loaded).toHaveLength(1)
      expect(loaded[0]?.kernel.equals(KERNEL)).toBe(true)
      expect(loaded[0]?.initrd?.equals(INITRD)).toBe(true)
      expect(loaded[0]?.argv).toContain(
        `--command-line=BOOT_IMAGE=/boot/vmlinuz-${VERSION} root=UUID=${ROOT_UUID} ro console=ttyS0,115200`,
      )
      expect(await sha256()).toBe(before)
      await start.go()
      expect(ends).toEqual(['kexec'])
      expect(lines.join('')).toContain('"signature":"not signed, nothing asks for a signature"')
    },
  )

  test('takes a kernel from a FAT file system, with initrds one after the other', async () => {
    const menu = 'linux /vmlinuz root=LABEL=x\ninitrd /a.img /B.IMG\nboot\n'
    const esp = {
      '/EFI/BOOT/grub.cfg': menu,
      '/vmlinuz': 'kernel',
      '/a.img': 'abcde',
      '/b.img': 'f',
    }
    const { path } = await createDisk({ files: {}, esp })
    const { deps, loaded } = createDeps()
    await prepareInstanceStart(path, deps, never())
    expect(loaded[0]?.kernel.toString()).toBe('kernel')
    expect(loaded[0]?.initrd?.toString()).toBe('abcde\0\0\0f')
  })

  test('is taken back by who breaks off, before and after the kernel is loaded: nothing is rebooted', async () => {
    const { path } = await createDisk()
    for (const isLoaded of [false, true]) {
      const broken = new AbortController()
      const { deps, ends, loaded } = createDeps()
      if (!isLoaded) broken.abort()
      const start = await prepareInstanceStart(path, deps, broken.signal)
      expect(loaded).toHaveLength(isLoaded ? 1 : 0)
      if (isLoaded) await cancelIfAborted(start, broken.signal)
      broken.abort()
      const go = cancelIfAborted(start, broken.signal).then(() => start.go())
      await expect(go).rejects.toMatchObject({ type: 'CancelledError' })
      expect(new Set(ends)).toEqual(new Set(['unload']))
    }
  })

  test('follows links inside of the image only', async () => {
    const secret = await mkdtemp(join(tmpdir(), 'ironswarm-secret-'))
    const outside = join(secret, 'vmlinuz')
    await writeFile(outside, 'of this machine')
    try {
      const files = {
        '/boot/grub/grub.cfg': 'linux /vmlinuz\ninitrd /initrd\nboot',
        '/vmlinuz': `-> ${outside}`,
        [outside]: "the image's own",
        '/initrd': `-> ../../../../../../..${outside}`,
      }
      const { path } = await createDisk({ files })
      const { deps, loaded } = createDeps()
      await prepareInstanceStart(path, deps, never())
      expect(loaded[0]?.kernel.toString()).toBe("the image's own")
      expect(loaded[0]?.initrd?.toString()).toBe("the image's own")
    } finally {
      await rm(secret, { recursive: true })
    }
  })
})

describe.skipIf(!canRun)(
  'where the kernel cannot be had, the machine is rebooted and told why',
  () => {
    const menu = (text: string) => ({ '/boot/grub/grub.cfg': text })
    test.each([
      ['no menu', {}, /no menu and no kernel was found$/],
      [
        'a menu of another system',
        menu('menuentry w {\nchainloader +1\n}'),
        /partition 2: line 2: the command "chain/,
      ],
      ['a kernel that is not there', menu('linux /gone\nboot'), /there is no file \/gone/],
      ['a kernel that is a folder', menu('linux /boot\nboot'), /there is no file \/boot/],
      [
        'a kernel that is a link in a circle',
        { ...menu('linux /k\nboot'), '/k': '-> k' },
        /there is no file \/k/,
      ],
      [
        'a kernel on a partition that is not there',
        menu('linux (hd0,gpt7)/k\nboot'),
        /there is no partition 7/,
      ],
    ])('%s', async (_, files, reason) => {
      const { path } = await createDisk({ files })
      const { deps, ends, loaded, lines } = createDeps()
      const start = await prepareInstanceStart(path, deps, never())
      expect(start.sentence).toMatch(/^the machine is rebooted by its firmware: /)
      expect(start.sentence).toMatch(reason)
      expect(lines.join('')).toContain('rebooted by its firmware')
      await start.go()
      expect(loaded).toEqual([])
      expect(ends).toEqual(['unload', 'reboot'])
    })

    test('a file system that cannot be mounted', async () => {
      const { path, rootOffset } = await createDisk()
      // the log of the group descriptors' size: blkid still takes it for ext4
      await using handle = await open(path, 'r+')
      await handle.write(new Uint8Array(4).fill(255), 0, 4, rootOffset + 1024 + 24)
      await handle.sync()
      const { deps, ends } = createDeps()
      const start = await prepareInstanceStart(path, deps, never())
      expect(start.sentence).toMatch(/its ext4 file system cannot be mounted here: mount: /)
      await start.go()
      expect(ends).toEqual(['unload', 'reboot'])
    })

    test('a kernel that kexec does not take', async () => {
      const { path } = await createDisk()
      const { deps, ends } = createDeps(new AgentError('ProcessError', 'kexec: exit code 255: no'))
      const start = await prepareInstanceStart(path, deps, never())
      expect(start.sentence).toMatch(
        /vmlinuz-6.1.0-28-amd64 \(not signed, nothing asks.*exit code 255: no$/,
      )
      await start.go()
      expect(ends).toEqual(['unload', 'reboot'])
    })

    test('a kernel without a signature where one is asked for', async () => {
      const { path } = await createDisk()
      const tree = keep(await createTree({ '/sys/kernel/security/lockdown': 'none [integrity]\n' }))
      const { deps, loaded } = createDeps()
      const start = await prepareInstanceStart(path, { ...deps, root: tree.root }, never())
      expect(start.sentence).toMatch(
        /is not signed, and kernel lockdown \(integrity\) asks for a sig/,
      )
      expect(loaded).toEqual([])
    })

    test('a machine without memory for it', async () => {
      const { path } = await createDisk()
      const small = 64 * 1024 + 600
      const tree = keep(await createTree({ '/proc/meminfo': `MemAvailable:   ${small} kB\n` }))
      const { deps } = createDeps()
      const start = await prepareInstanceStart(path, { ...deps, root: tree.root }, never())
      expect(start.sentence).toMatch(
        /vmlinuz-6.1.0-28-amd64 has 293.0 KiB, more than the 200.0 KiB/,
      )
    })

    test('a command that was broken off', async () => {
      const { path } = await createDisk()
      const { deps, loaded } = createDeps()
      const start = await prepareInstanceStart(path, deps, AbortSignal.abort())
      expect(start.sentence).toMatch(/^the machine is rebooted/)
      expect(loaded).toEqual([])
    })
  },
)

/** Another machine's /proc and /sys, for what the agent asks of them beside this disk. */
async function createTree(
  files: Readonly<Record<string, string>>,
  firmware: 'uefi' | 'bios' = 'bios',
) {
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-tree-'))
  const all = { '/proc/meminfo': 'MemAvailable: 999999 kB\n', ...files }
  for (const [path, text] of Object.entries(all)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
  const real = createRoot('/')
  const own = createRoot(folder)
  const isEfi = (path: string) => path === '/sys/firmware/efi'
  const root = {
    ...real,
    resolve: async (path: string) =>
      isEfi(path) ? (firmware === 'uefi' ? path : undefined) : await real.resolve(path),
    readText: async (path: string) => (await own.readText(path)) ?? (await real.readText(path)),
  }
  return { root, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) }
}
