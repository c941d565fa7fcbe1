import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import { eraseDiskMetadata, overwriteDisk } from '../../../agent/disk/erase.ts'
import { type Exec, exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { raidSuperblock } from './raid-superblock.ts'

const run = promisify(execFile)
const MiB = 1024 * 1024
const canRun =
  hasLoopDevices('erasing disks') && hasPackages('agent') && hasPackages('disk-signatures')

const OPTIONS = {
  exec,
  root: createRoot('/'),
  log: createLogger({ level: 'silent' }),
  signal: new AbortController().signal,
}

/** wipefs as the kernel says it of a command that is not installed. */
const withoutWipefs: Exec = async (argv, options) => {
  if (argv[0] !== 'wipefs') return await exec(argv, options)
  const cause = Object.assign(new Error('spawn wipefs ENOENT'), { code: 'ENOENT' })
  throw new AgentError('ProcessError', 'wipefs: command not found', { cause })
}

interface Range {
  readonly offset: number
  readonly length: number
}

/** What another Linux would find there; `range` is seen as a disk of its own, as a partition is. */
async function signatures(path: string, range?: Range): Promise<string> {
  const list = async (device: string) =>
    (await run('wipefs', ['--no-act', '--noheadings', '--output=OFFSET,TYPE', device])).stdout
  if (!range) return (await list(path)).trim()
  return (await onRange(path, range, list)).trim()
}

/** Works on a loop device over part of the disk. */
async function onRange<T>(
  path: string,
  { offset, length }: Range,
  work: (device: string) => Promise<T>,
): Promise<T> {
  const place = [`--offset=${offset}`, `--sizelimit=${length}`]
  const { stdout } = await run('losetup', ['--find', '--show', ...place, path])
  const device = stdout.trim()
  try {
    return await work(device)
  } finally {
    await run('losetup', ['--detach', device])
  }
}

async function sfdisk(path: string, script: string): Promise<void> {
  const running = run('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', path])
  running.child.stdin?.end(script)
  await running
}

async function feed(input: string, command: string, ...args: string[]): Promise<void> {
  const running = run(command, args)
  running.child.stdin?.end(input)
  await running
}

async function writeRaid(device: string, version: '1.0' | '1.1' | '1.2'): Promise<void> {
  const { stdout } = await run('blockdev', ['--getsize64', device])
  const { offset, bytes } = raidSuperblock(version, Number(stdout))
  await using disk = await open(device, 'r+')
  await disk.write(bytes, 0, bytes.length, offset)
  await disk.sync()
}

/** What tenants leave, by the tools they used; `finds` is what wipefs then says. */
const TRACES: readonly (readonly [string, (device: string) => Promise<unknown>, RegExp])[] = [
  ['ext4', (device) => run('mke2fs', ['-q', '-F', '-t', 'ext4', device]), /ext4/],
  ['vfat', (device) => run('mkfs.vfat', [device]), /vfat/],
  ['swap', (device) => run('mkswap', [device]), /swap/],
  ['btrfs', (device) => run('mkfs.btrfs', ['-q', '-f', '--mixed', device]), /btrfs/],
  ['an LVM physical volume', (device) => run('pvcreate', ['-ff', '-y', device]), /LVM2_member/],
  [
    'LUKS2, with its second header',
    (device) =>
      feed(
        'a passphrase',
        'cryptsetup',
        ...'luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000'.split(' '),
        device,
      ),
    /crypto_LUKS[\s\S]+crypto_LUKS/,
  ],
  ['md RAID 1.0, at the end', (device) => writeRaid(device, '1.0'), /linux_raid_member/],
  ['md RAID 1.1, at the start', (device) => writeRaid(device, '1.1'), /linux_raid_member/],
  ['md RAID 1.2, after 4 KiB', (device) => writeRaid(device, '1.2'), /linux_raid_member/],
]

describe.skipIf(!canRun)('erasing the metadata of a disk', () => {
  test.each(TRACES)('leaves nothing of %s on the whole disk', async (_name, make, finds) => {
    await using loop = await createLoopDevice({ sizeBytes: 128 * MiB })
    await make(loop.path)
    expect(await signatures(loop.path)).toMatch(finds)
    await eraseDiskMetadata(loop.path, OPTIONS)
    expect(await signatures(loop.path)).toBe('')
  })

  const SECOND = { offset: 48 * MiB, length: 64 * MiB } as const
  const GPT = 'label: gpt\nstart=2048,size=93184,type=U\nstart=98304,size=131072\n'

  describe.each([
    ['with wipefs', exec],
    ['without wipefs', withoutWipefs],
  ])('%s', (_tool, tool) => {
    test.each(TRACES)('leaves nothing of %s in a partition', async (_name, make, finds) => {
      await using loop = await createLoopDevice({ sizeBytes: 128 * MiB })
      await sfdisk(loop.path, GPT)
      await onRange(loop.path, SECOND, make)
      expect(await signatures(loop.path)).toMatch(/gpt[\s\S]+gpt[\s\S]+PMBR/)
      expect(await signatures(loop.path, SECOND)).toMatch(finds)
      await eraseDiskMetadata(loop.path, { ...OPTIONS, exec: tool })
      expect(await signatures(loop.path)).toBe('')
      expect(await signatures(loop.path, SECOND)).toBe('')
    })
  })

  test('leaves no GPT on 4096-byte sectors, at neither end', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 64 * MiB, sectorBytes: 4096 })
    await sfdisk(loop.path, 'label: gpt\nstart=256,size=1024\n')
    expect(await signatures(loop.path)).toMatch(/gpt[\s\S]+gpt/)
    await eraseDiskMetadata(loop.path, OPTIONS)
    expect(await signatures(loop.path)).toBe('')
    expect((await run('sgdisk', ['--print', loop.path])).stdout).toContain('Creating new GPT')
  })

  test('erases inside of logical partitions that the kernel knows, and makes it forget them all', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 128 * MiB })
    const script = 'label: dos\nstart=2048,size=20480\nstart=40960,size=204800,type=5\n'
    await sfdisk(loop.path, `${script}start=43008,size=163840,type=83\n`)
    await run('partx', ['--add', loop.path])
    await run('mke2fs', ['-q', '-F', '-t', 'ext4', `${loop.path}p5`])
    const logical = { offset: 43008 * 512, length: 163840 * 512 }
    expect(await signatures(loop.path, logical)).toContain('ext4')
    await eraseDiskMetadata(loop.path, OPTIONS)
    expect(await signatures(loop.path, logical)).toBe('')
    expect(await signatures(loop.path)).toBe('')
    await expect(open(`${loop.path}p5`)).rejects.toThrow('ENOENT')
  })

  test('has the kernel forget a partition too that somebody looks at just then', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 64 * MiB })
    await sfdisk(loop.path, 'label: gpt\nsize=16MiB\nsize=16MiB\n')
    await run('partx', ['--add', loop.path])
    const looking = await open(`${loop.path}p2`)
    let tries = 0
    const busyAtFirst: Exec = async (argv, options) => {
      const ended = await exec(argv, options)
      if (argv[0] === 'partx' && ++tries === 1) {
        expect(existsSync(`/sys/class/block/${basename(loop.path)}p2`)).toBe(true)
        await looking.close()
      }
      return ended
    }
    await eraseDiskMetadata(loop.path, { ...OPTIONS, exec: busyAtFirst })
    expect(existsSync(`/sys/class/block/${basename(loop.path)}p2`)).toBe(false)
  })

  test('does not stumble over a table whose partitions lie beyond the disk', async () => {
    await using large = await createLoopDevice({ sizeBytes: 256 * MiB })
    await using small = await createLoopDevice({ sizeBytes: 64 * MiB })
    await sfdisk(large.path, 'label: gpt\nstart=2048,size=20480\nstart=102400,size=204800\n')
    await run('dd', [`if=${large.path}`, `of=${small.path}`, 'bs=1M', 'count=64'])
    await eraseDiskMetadata(small.path, OPTIONS)
    expect(await signatures(small.path)).toBe('')
  })

  test('takes disks smaller than what is usually zeroed', async () => {
    await using loop = await createLoopDevice({ sizeBytes: MiB + 512 })
    await run('mkfs.vfat', [loop.path])
    await eraseDiskMetadata(loop.path, OPTIONS)
    expect(await signatures(loop.path)).toBe('')
  })

  test('leaves the rest of the disk as it is: it is quick because it is no full erase', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 64 * MiB })
    await mark(loop.path)
    await eraseDiskMetadata(loop.path, OPTIONS)
    expect(await isMarked(loop.path)).toBe(true)
  })

  test.each([
    ['another program has it open for itself', (path: string) => open(path, EXCLUSIVE)],
    ['a loop device lies on it', stackLoop],
  ])('refuses a disk when %s, before anything is touched', async (_case, use) => {
    await using loop = await createLoopDevice({ sizeBytes: 32 * MiB })
    await run('mkfs.vfat', [loop.path])
    {
      await using _user = await use(loop.path)
      await expect(eraseDiskMetadata(loop.path, OPTIONS)).rejects.toMatchObject({
        type: 'TargetInUseError',
        details: expect.stringContaining(loop.path),
      })
    }
    expect(await signatures(loop.path)).toContain('vfat')
  })

  test('refuses a write-protected disk', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 32 * MiB, readOnly: true })
    await expect(eraseDiskMetadata(loop.path, OPTIONS)).rejects.toThrow('write-protected')
  })
})

describe.skipIf(!canRun)('overwriting a disk', () => {
  test('passes with random bytes, then zeros, over every byte, counting them', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 16 * MiB + 512 })
    await mark(loop.path, 8 * MiB)
    let bytes = 0
    const onBytes = (count: number) => {
      bytes += count
    }
    const passes = { randomPasses: 2, endsWithZeros: true }
    await overwriteDisk(loop.path, passes, { ...OPTIONS, onBytes })
    expect(bytes).toBe(3 * (16 * MiB + 512))
    const { stdout } = await run('cmp', ['--bytes', String(16 * MiB + 512), loop.path, '/dev/zero'])
    expect(stdout).toBe('')
  })

  test('leaves random bytes where no zeros are wanted, the last sector too', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 16 * MiB + 512 })
    const passes = { randomPasses: 1, endsWithZeros: false }
    await overwriteDisk(loop.path, passes, { ...OPTIONS, onBytes: () => undefined })
    await using disk = await open(loop.path)
    const sector = Buffer.alloc(512)
    for (const offset of [0, 8 * MiB, 16 * MiB]) {
      await disk.read(sector, 0, 512, offset)
      expect(new Set(sector).size).toBeGreaterThan(100)
    }
  })
})

/** O_RDWR | O_EXCL of open(2). */
const EXCLUSIVE = 0o2 | 0o200
const MARK = 'data of the last tenant'
/** Inside of no area that metadata lies in. */
const MARK_OFFSET = 30 * MiB

async function mark(path: string, offset = MARK_OFFSET): Promise<void> {
  await using disk = await open(path, 'r+')
  await disk.write(MARK, offset)
  await disk.sync()
}

async function isMarked(path: string): Promise<boolean> {
  await using disk = await open(path)
  const bytes = Buffer.alloc(MARK.length)
  await disk.read(bytes, 0, bytes.length, MARK_OFFSET)
  return bytes.toString() === MARK
}

async function stackLoop(path: string): Promise<AsyncDisposable> {
  const { stdout } = await run('losetup', ['--find', '--show', path])
  return {
    [Symbol.asyncDispose]: async () => void (await run('losetup', ['--detach', stdout.trim()])),
  }
}
