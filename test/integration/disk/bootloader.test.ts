import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import { installUefiBootloader } from '../../../agent/disk/bootloader.ts'
import { type Exec, exec } from '../../../agent/system/exec.ts'
import { createRoot, type Root } from '../../../agent/system/root.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const root = createRoot('/')

const run = promisify(execFile)
const MiB = 1024 * 1024
const ESP_OFFSET = MiB
const canRun = hasLoopDevices('boot loaders on an ESP') && hasPackages('agent')

interface UefiDisk extends AsyncDisposable {
  readonly path: string
  put(path: string, content: Uint8Array | string): Promise<void>
}

/** No disk of this test is an array. */
const PAUSE = '/dev/null/raid-changes'
/** Boot entries are made, as on a machine. */
const events = { publish: () => undefined }
const REAL = { root, machineControl: 'real', pausePath: PAUSE, events } as const

/** A disk with a root partition and, as partition 2 at 1 MiB, an ESP of 16 MiB. */
async function createUefiDisk(
  options: { sectorBytes?: 512 | 4096; espType?: string } = {},
): Promise<UefiDisk> {
  const { sectorBytes = 512, espType = 'U' } = options
  const loop = await createLoopDevice({ sizeBytes: 64 * MiB, sectorBytes })
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-esp-'))
  const perMiB = MiB / sectorBytes
  const sfdisk = run('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', loop.path])
  sfdisk.child.stdin?.end(
    `label: gpt\nstart=${20 * perMiB},size=${20 * perMiB}\nstart=${perMiB},size=${16 * perMiB},type=${espType}\n`,
  )
  await sfdisk
  const fat = join(folder, 'fat')
  await run('mkfs.vfat', ['-S', String(sectorBytes), '-C', fat, '16384'])
  await run('dd', [`if=${fat}`, `of=${loop.path}`, 'bs=1M', 'seek=1', 'conv=notrunc'])
  const drive = `${loop.path}@@${ESP_OFFSET}`
  const made = new Set<string>()
  return {
    path: loop.path,
    put: async (path, content) => {
      const folders = path.split('/').slice(0, -1)
      for (let i = 1; i <= folders.length; i++) {
        const parent = folders.slice(0, i).join('/')
        if (!made.has(parent)) await run('mmd', ['-i', drive, `::/${parent}`])
        made.add(parent)
      }
      const file = join(folder, 'content')
      await writeFile(file, content)
      await run('mcopy', ['-D', 'o', '-i', drive, file, `::/${path}`])
    },
    [Symbol.asyncDispose]: async () => {
      await loop[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The real machine but for its firmware: efibootmgr's answers are given, its calls are kept. */
function firmware(listing = 'BootCurrent: 0001\n'): { exec: Exec; calls: string[][] } {
  const calls: string[][] = []
  return {
    calls,
    exec: async (argv, options) => {
      if (argv[0] !== 'efibootmgr') return await exec(argv, options)
      calls.push([...argv])
      return { stdout: listing, stderr: '', exitCode: 0 }
    },
  }
}

function capturedLog() {
  const lines: Record<string, unknown>[] = []
  const log = createLogger({
    level: 'debug',
    destination: { write: (line) => lines.push(JSON.parse(line)) },
  })
  return { log, lines }
}

const creates = (calls: string[][]) => calls.filter((argv) => argv.includes('-c'))
const argvFor = (path: string, label: string, loader: string) => [
  'efibootmgr',
  '-v',
  '-c',
  '-d',
  path,
  '-p',
  '2',
  '-w',
  '-L',
  label,
  '-l',
  loader,
]

describe.skipIf(!canRun)('the UEFI boot loader set-up', () => {
  test.each([
    ['the loader is hidden', ['+h'], 'EFI/BOOT/BOOTX64.EFI'],
    ['the loader is of the system', ['+s'], 'EFI/BOOT/BOOTX64.EFI'],
    [
      'the loader is hidden, of the system and read-only',
      ['+h', '+s', '+r'],
      'EFI/BOOT/BOOTX64.EFI',
    ],
    ['its folder is hidden and of the system', ['+h', '+s'], 'EFI/BOOT'],
    ['the topmost folder is', ['+h', '+s'], 'EFI'],
  ])(
    'takes no more notice of FAT attributes than firmware does: %s',
    async (_, attributes, path) => {
      await using disk = await createUefiDisk()
      await disk.put('EFI/BOOT/BOOTX64.EFI', 'loader')
      await run('mattrib', [...attributes, '-i', `${disk.path}@@${ESP_OFFSET}`, `::/${path}`])
      const { exec, calls } = firmware()
      expect(
        await installUefiBootloader({
          ...REAL,
          exec,
          log: capturedLog().log,
          devicePath: disk.path,
        }),
      ).toBe(true)
      expect(creates(calls)).toEqual([argvFor(disk.path, 'ironic1', '\\EFI\\BOOT\\BOOTX64.EFI')])
    },
  )

  test('reads a hidden CSV', async () => {
    await using disk = await createUefiDisk()
    await disk.put('EFI/debian/BOOTX64.CSV', Buffer.from('shimx64.efi,debian,,\r\n', 'utf16le'))
    const csv = '::/EFI/debian/BOOTX64.CSV'
    await run('mattrib', ['+h', '+s', '-i', `${disk.path}@@${ESP_OFFSET}`, csv])
    const { exec, calls } = firmware()
    await installUefiBootloader({ ...REAL, exec, log: capturedLog().log, devicePath: disk.path })
    expect(creates(calls)).toEqual([argvFor(disk.path, 'debian', '\\EFI\\debian\\shimx64.efi')])
  })

  test.each([512, 4096] as const)(
    'registers the loader of an ESP with %i-byte sectors by its path with backslashes',
    async (sectorBytes) => {
      await using disk = await createUefiDisk({ sectorBytes })
      await disk.put('EFI/BOOT/BOOTX64.EFI', 'loader')
      await disk.put('EFI/debian/grub.cfg', 'not a loader')
      const { exec: run, calls } = firmware()
      const { log } = capturedLog()
      const done = await installUefiBootloader({
        exec: run,
        root,
        log,
        machineControl: 'real',
        pausePath: PAUSE,
        events,
        devicePath: disk.path,
      })
      expect(done).toBe(true)
      expect(creates(calls)).toEqual([argvFor(disk.path, 'ironic1', '\\EFI\\BOOT\\BOOTX64.EFI')])
    },
  )

  test('a CSV file that cannot be read keeps neither another one nor the loaders from being found', async () => {
    await using disk = await createUefiDisk()
    await disk.put('EFI/BOOT/BOOTX64.EFI', 'loader')
    await disk.put('EFI/AAA/BOOTX64.CSV', 'lost.efi,lost')
    await disk.put('EFI/BBB/BOOTX64.CSV', 'shimx64.efi,found')
    const setUp = async (unreadable: RegExp) => {
      const { exec: inner, calls } = firmware()
      const run: Exec = async (argv, options) => {
        const isLost = argv[0] === 'mcopy' && unreadable.test(argv.join(' '))
        return await inner(isLost ? ['false'] : argv, options)
      }
      const { log } = capturedLog()
      await installUefiBootloader({ exec: run, ...REAL, log, devicePath: disk.path })
      return creates(calls)
    }
    expect(await setUp(/AAA/)).toEqual([argvFor(disk.path, 'found', '\\EFI\\BBB\\shimx64.efi')])
    expect(await setUp(/CSV/)).toEqual([argvFor(disk.path, 'ironic1', '\\EFI\\BOOT\\BOOTX64.EFI')])
  })

  test('a CSV file in UTF-16 wins over all loaders and gives file and label', async () => {
    await using disk = await createUefiDisk()
    await disk.put('EFI/BOOT/BOOTX64.EFI', 'loader')
    const csv = Buffer.from('\ufeffshimx64.efi,Débian,,This is the boot entry\r\n', 'utf16le')
    await disk.put('EFI/debian/BOOTX64.CSV', csv)
    const { exec: run, calls } = firmware()
    const { log } = capturedLog()
    await installUefiBootloader({
      exec: run,
      root,
      log,
      machineControl: 'real',
      pausePath: PAUSE,
      events,
      devicePath: disk.path,
    })
    expect(creates(calls)).toEqual([argvFor(disk.path, 'Débian', '\\EFI\\debian\\shimx64.efi')])
  })

  test('a CSV file without a loader in it is passed over, with a warning', async () => {
    await using disk = await createUefiDisk()
    await disk.put('EFI/BOOT/BOOTX64.EFI', 'loader')
    await disk.put('EFI/debian/BOOTX64.CSV', ',,')
    const { exec: run, calls } = firmware()
    const { log, lines } = capturedLog()
    await installUefiBootloader({
      exec: run,
      root,
      log,
      machineControl: 'real',
      pausePath: PAUSE,
      events,
      devicePath: disk.path,
    })
    expect(creates(calls)).toEqual([argvFor(disk.path, 'ironic1', '\\EFI\\BOOT\\BOOTX64.EFI')])
    expect(lines).toContainEqual(expect.objectContaining({ path: 'EFI/debian/BOOTX64.CSV' }))
  })

  test.each([
    ['UTF-8', (text: string) => text],
    ['UTF-16', (text: string) => Buffer.from(text, 'utf16le').toString('utf8')],
  ])('deletes entries of exactly the same label, listed in %s', async (_, encode) => {
    await using disk = await createUefiDisk()
    await disk.put('EFI/BOOT/BOOTX64.EFI', 'loader')
    const listing =
      'BootCurrent: 0001\nBootOrder: 0001,001A,0002\nBoot0001* UEFI PXEv4\tPciRoot\n' +
      'Boot001A* ironic1\tHD(2,GPT,abc)/File(\\EFI\\OLD.EFI)\nBoot0002* ironic10\tHD(2)\n' +
      'Boot0003  ironic1\tHD(1)\n'
    const { exec: run, calls } = firmware(encode(listing))
    const { log } = capturedLog()
    await installUefiBootloader({
      exec: run,
      root,
      log,
      machineControl: 'real',
      pausePath: PAUSE,
      events,
      devicePath: disk.path,
    })
    expect(calls.slice(0, 3)).toEqual([
      ['efibootmgr', '-v'],
      ['efibootmgr', '-b', '001A', '-B'],
      ['efibootmgr', '-b', '0003', '-B'],
    ])
    expect(creates(calls)).toHaveLength(1)
  })

  test('takes back the entries it has made where a later one fails, and leaves those of others', async () => {
    await using disk = await createUefiDisk()
    await disk.put('EFI/BOOT/BOOTX64.EFI', 'loader')
    await disk.put('EFI/BOOT/BOOTIA32.EFI', 'loader')
    const entries = new Map([['0001', 'UEFI PXEv4']])
    let next = 0x10
    const listed = () =>
      [
        'BootCurrent: 0001',
        ...[...entries].map(([n, label]) => `Boot${n}* ${label}\tHD(1)`),
        '',
      ].join('\n')
    // a firmware with room for two entries; what fails may have left a half of it
    const full: Exec = async (argv, options) => {
      if (argv[0] !== 'efibootmgr') return await exec(argv, options)
      if (argv.includes('-B')) entries.delete(argv[argv.indexOf('-b') + 1] as string)
      if (argv.includes('-c')) {
        entries.set(`00${(next++).toString(16)}`, argv[argv.indexOf('-L') + 1] as string)
        if (entries.size > 2) throw new AgentError('ProcessError', 'no space left on device')
      }
      return { stdout: listed(), stderr: '', exitCode: 0 }
    }
    const request = { ...REAL, exec: full, log: capturedLog().log, devicePath: disk.path }
    await expect(installUefiBootloader(request)).rejects.toThrow('no space left')
    expect([...entries]).toEqual([['0001', 'UEFI PXEv4']])
  })

  test('the loader of a multipath map is registered by a path, whose cache is dropped before', async () => {
    await using map = await createUefiDisk()
    await using path = await createLoopDevice({ sizeBytes: MiB })
    await map.put('EFI/BOOT/BOOTX64.EFI', 'loader')
    const directory = `/sys/class/block/${map.path.slice('/dev/'.length)}`
    const joined: Root = {
      ...root,
      readText: async (at) =>
        at === `${directory}/dm/uuid` ? 'mpath-36001' : await root.readText(at),
      list: async (at) =>
        at === `${directory}/slaves` ? [path.path.slice('/dev/'.length)] : await root.list(at),
    }
    const { exec: run, calls } = firmware()
    const lines: string[] = []
    const noted: Exec = async (argv, options) => {
      lines.push(argv.slice(0, 3).join(' '))
      return await run(argv, options)
    }
    const { log } = capturedLog()
    const request = { ...REAL, exec: noted, root: joined, log, devicePath: map.path }
    expect(await installUefiBootloader(request)).toBe(true)
    const [created] = creates(calls)
    expect(created?.slice(3, 5)).toEqual(['-d', path.path])
    expect(lines).toContain(`blockdev --flushbufs ${path.path}`)
  })

  test('with machine control logged, the command is in the log and nothing is run', async () => {
    await using disk = await createUefiDisk()
    await disk.put('EFI/BOOT/BOOTX64.EFI', 'loader')
    const { exec: run, calls } = firmware()
    const { log, lines } = capturedLog()
    const done = await installUefiBootloader({
      exec: run,
      root,
      log,
      machineControl: 'log',
      pausePath: PAUSE,
      events,
      devicePath: disk.path,
    })
    expect(done).toBe(true)
    expect(calls).toEqual([])
    const argv = argvFor(disk.path, 'ironic1', '\\EFI\\BOOT\\BOOTX64.EFI')
    expect(lines).toContainEqual(expect.objectContaining({ argv }))
  })

  test.each(['an empty ESP', 'an ESP without a known loader'])(
    '%s is nothing to do',
    async (kind) => {
      await using disk = await createUefiDisk()
      if (kind !== 'an empty ESP') await disk.put('EFI/debian/shimx64.efi', 'not in the list')
      const { exec: run, calls } = firmware()
      const { log } = capturedLog()
      const done = await installUefiBootloader({
        exec: run,
        root,
        log,
        machineControl: 'real',
        pausePath: PAUSE,
        events,
        devicePath: disk.path,
      })
      expect(done).toBe(false)
      expect(calls).toEqual([])
    },
  )

  test('an ESP that holds no FAT is an error that says where', async () => {
    await using disk = await createUefiDisk()
    await run('dd', [
      'if=/dev/zero',
      `of=${disk.path}`,
      'bs=1M',
      'seek=1',
      'count=1',
      'conv=notrunc',
    ])
    const { exec: fake } = firmware()
    const { log } = capturedLog()
    const request = { ...REAL, exec: fake, log, devicePath: disk.path }
    await expect(installUefiBootloader(request)).rejects.toMatchObject({
      type: 'ProcessError',
      details: expect.stringContaining(`offset ${ESP_OFFSET} of ${disk.path}`),
    })
  })

  test('without an ESP, the partition Ironic names is taken', async () => {
    await using disk = await createUefiDisk({ espType: 'L' })
    await disk.put('EFI/BOOT/BOOTX64.EFI', 'loader')
    const { stdout } = await run('blkid', [
      '-p',
      '-O',
      String(ESP_OFFSET),
      '-s',
      'UUID',
      '-o',
      'value',
      disk.path,
    ])
    const { exec: fake, calls } = firmware()
    const { log } = capturedLog()
    const request = { ...REAL, exec: fake, log, devicePath: disk.path }
    await installUefiBootloader({ ...request, efiSystemPartUuid: stdout.trim() })
    expect(creates(calls)).toHaveLength(1)
    await expect(installUefiBootloader(request)).rejects.toMatchObject({
      type: 'DeviceNotFound',
      details: expect.stringContaining('UEFI-compatible image'),
    })
  })
})
