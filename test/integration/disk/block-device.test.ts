import { execFile } from 'node:child_process'
import { closeSync, openSync, readSync } from 'node:fs'
import {
  mkdir,
  mkdtemp,
  open,
  readFile,
  rm,
  stat,
  statfs,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createAlignedPool } from '../../../agent/disk/aligned-pool.ts'
import { openBlockDevice } from '../../../agent/disk/block-device.ts'
import { readGeometry } from '../../../agent/disk/geometry.ts'
import { assertNotInUse, listUses } from '../../../agent/disk/in-use.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { blockDeviceAt, formatDeviceNumber } from '../../../agent/system/sysfs.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const root = createRoot('/')

const run = promisify(execFile)
const MiB = 1024 * 1024

function noise(length: number, seed: number): Uint8Array {
  let state = seed + 1
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return state >>> 16
  })
}

/** What the device holds, read by another program's way: through the page cache. */
function readBack(path: string, offset: number, length: number): Uint8Array {
  const fd = openSync(path, 'r')
  try {
    const bytes = new Uint8Array(length)
    expect(readSync(fd, bytes, 0, length, offset)).toBe(length)
    return bytes
  } finally {
    closeSync(fd)
  }
}

const canRun = hasLoopDevices('open block devices') && hasPackages('agent')

describe.skipIf(!canRun)('an open block device', () => {
  test.each([512, 4096] as const)(
    'has the geometry the kernel gives it, %i-byte sectors',
    async (sectorBytes) => {
      await using loop = await createLoopDevice({ sizeBytes: 8 * MiB, sectorBytes })
      expect(await readGeometry(root, loop.path)).toEqual({
        path: loop.path,
        sizeBytes: 8 * MiB,
        logicalSectorBytes: sectorBytes,
        physicalSectorBytes: sectorBytes,
        isBlockDevice: true,
      })
    },
  )

  test('a partition has its own size and the sectors of its disk', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 8 * MiB, sectorBytes: 4096 })
    await run('sgdisk', ['-n', '1:256:511', loop.path])
    await run('partx', ['-u', loop.path])
    const geometry = await readGeometry(root, `${loop.path}p1`)
    expect(geometry).toMatchObject({ sizeBytes: MiB, logicalSectorBytes: 4096 })
  })

  test.each([512, 4096] as const)(
    'writes and reads any offset and length of %i-byte sectors and spoils no neighbour',
    async (sectorBytes) => {
      await using loop = await createLoopDevice({ sizeBytes: 4 * MiB, sectorBytes })
      await using device = await openBlockDevice(loop.path, { mode: 'write', root })
      expect(device.isDirect).toBe(true)
      const expected = new Uint8Array(4 * MiB)
      await fc.assert(
        fc.asyncProperty(
          fc.nat(4 * MiB - 1),
          fc.oneof(fc.nat(3 * sectorBytes), fc.nat(2 * MiB)),
          fc.nat(),
          async (offset, wanted, seed) => {
            const bytes = noise(Math.min(wanted, 4 * MiB - offset), seed)
            await device.write(offset, bytes)
            expected.set(bytes, offset)
            const from = Math.max(0, offset - 5000)
            const seen = new Uint8Array(Math.min(4 * MiB, offset + bytes.length + 5000) - from)
            await device.read(from, seen)
            expect(Buffer.compare(seen, expected.subarray(from, from + seen.length))).toBe(0)
          },
        ),
        { numRuns: 60 },
      )
      await device.sync()
      expect(Buffer.compare(readBack(loop.path, 0, 4 * MiB), expected)).toBe(0)
    },
  )

  test('two writes into the same sector at the same time lose no byte', async () => {
    await using loop = await createLoopDevice({ sizeBytes: MiB, sectorBytes: 4096 })
    await using device = await openBlockDevice(loop.path, { mode: 'write', root })
    const expected = noise(64 * 1024, 3)
    const pieces = Array.from({ length: 650 }, (_, i) => i * 101).filter(
      (at) => at < expected.length,
    )
    await Promise.all(pieces.map((at) => device.write(at, expected.subarray(at, at + 101))))
    expect(Buffer.compare(readBack(loop.path, 0, expected.length), expected)).toBe(0)
  })

  test('writes a pool buffer whole and in part', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 4 * MiB, sectorBytes: 4096 })
    await using device = await openBlockDevice(loop.path, { mode: 'write', root })
    const pool = createAlignedPool({ bufferBytes: MiB, count: 1 })
    const { bytes, release } = await pool.acquire()
    bytes.set(noise(MiB, 7))
    await device.write(MiB, bytes)
    await device.write(3 * MiB, bytes.subarray(4096, 4096 + 10_000))
    const seen = new Uint8Array(10_000)
    await device.read(3 * MiB, seen)
    expect(Buffer.compare(seen, bytes.subarray(4096, 14_096))).toBe(0)
    expect(Buffer.compare(readBack(loop.path, MiB, MiB), bytes)).toBe(0)
    release()
  })

  test('refuses to write beyond the end of the device', async () => {
    await using loop = await createLoopDevice({ sizeBytes: MiB })
    await using device = await openBlockDevice(loop.path, { mode: 'write', root })
    await expect(device.write(MiB - 10, new Uint8Array(11))).rejects.toMatchObject({
      type: 'ImageWriteError',
      details: expect.stringContaining(`${MiB} bytes`),
    })
  })

  test('a device open for writing is refused to a second writer', async () => {
    await using loop = await createLoopDevice({ sizeBytes: MiB })
    await using _first = await openBlockDevice(loop.path, { mode: 'write', root })
    await expect(openBlockDevice(loop.path, { mode: 'write', root })).rejects.toMatchObject({
      type: 'TargetInUseError',
    })
  })

  test('a mounted device is refused, and the error says where it is mounted', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 8 * MiB })
    await run('mkfs.ext4', ['-q', loop.path])
    await using mounted = await mount(loop.path)
    const refusal = {
      type: 'TargetInUseError',
      details: expect.stringContaining(`${loop.path} is mounted at ${mounted.path}`),
    }
    await expect(openBlockDevice(loop.path, { mode: 'write', root })).rejects.toMatchObject(refusal)
    await expect(assertNotInUse(root, loop.path)).rejects.toMatchObject(refusal)
  })

  test('a disk with a mounted partition is refused, and the error names the partition', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 16 * MiB })
    await run('sgdisk', ['-n', '1:2048:24575', loop.path])
    await run('partx', ['-u', loop.path])
    await run('mkfs.ext4', ['-q', `${loop.path}p1`])
    await using mounted = await mount(`${loop.path}p1`)
    const refusal = {
      type: 'TargetInUseError',
      details: expect.stringContaining(`${loop.path}p1 is mounted at ${mounted.path}`),
    }
    await expect(assertNotInUse(root, loop.path)).rejects.toMatchObject(refusal)
    await expect(openBlockDevice(loop.path, { mode: 'write', root })).rejects.toMatchObject(refusal)
  })

  test('a disk that is swapped on is refused', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 4 * MiB })
    await run('mkswap', [loop.path])
    await run('swapon', [loop.path])
    try {
      await expect(assertNotInUse(root, loop.path)).rejects.toMatchObject({
        type: 'TargetInUseError',
        details: expect.stringContaining('is swap space'),
      })
    } finally {
      await run('swapoff', [loop.path])
    }
  })

  test('a file behind a loop device is refused', async () => {
    await using loop = await createLoopDevice({ sizeBytes: MiB })
    await expect(assertNotInUse(root, loop.backingFile)).rejects.toMatchObject({
      type: 'TargetInUseError',
      details: expect.stringContaining(`backing file of ${loop.path}`),
    })
  })

  test('a path and a link to it lead to the same device, which the root that is asked must know', async () => {
    await using loop = await createLoopDevice({ sizeBytes: MiB })
    await using folder = await temporaryFolder()
    const link = join(folder.path, 'by-id')
    await symlink(loop.path, link)
    const device = await blockDeviceAt(root, loop.path)
    expect(device).toMatchObject({ name: basename(loop.path), isPartition: false })
    expect(await blockDeviceAt(root, link)).toEqual(device)
    const stranger = createRoot(folder.path)
    expect(await blockDeviceAt(stranger, loop.path)).toBeUndefined()
    await expect(readGeometry(stranger, loop.path)).rejects.toThrow(
      /sysfs tells no size of \/dev\/loop\d+ \(7:\d+\)/,
    )
  })

  test('what the kernel tells of a held or anonymously mounted device is a use of it', async () => {
    await using loop = await createLoopDevice({ sizeBytes: MiB })
    await using folder = await temporaryFolder()
    const { rdev } = await stat(loop.path)
    const sysfs = join(folder.path, 'sys/class/block', basename(loop.path))
    await mkdir(join(sysfs, 'holders/dm-3'), { recursive: true })
    await writeFile(join(sysfs, 'dev'), `${formatDeviceNumber(rdev)}\n`)
    await mkdir(join(folder.path, 'proc/self'), { recursive: true })
    const row = `40 35 0:44 / /data rw - btrfs ${loop.path} rw\n`
    await writeFile(join(folder.path, 'proc/self/mountinfo'), row)
    expect(await listUses(createRoot(folder.path), loop.path)).toEqual([
      `${loop.path} is mounted at /data`,
      `${loop.path} is part of dm-3`,
    ])
  })

  test('a fixture root without a mount table does not hide the mounts of the machine', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 8 * MiB })
    await run('mkfs.ext4', ['-q', loop.path])
    await using folder = await temporaryFolder()
    await using _mounted = await mount(loop.path)
    const uses = await listUses(createRoot(folder.path), loop.path)
    expect(uses).toEqual([expect.stringContaining('is mounted at')])
  })

  test('an unused device passes', async () => {
    await using loop = await createLoopDevice({ sizeBytes: MiB })
    await assertNotInUse(root, loop.path)
  })

  test('a write the storage does not take is an ImageWriteError with device, offset and errno', async () => {
    await using small = await fullFileSystem()
    await using loop = await createLoopDevice({ sizeBytes: 64 * MiB, directory: small.path })
    await using device = await openBlockDevice(loop.path, { mode: 'write', root })
    const writeAll = async () => {
      for (let at = 0; at < 64 * MiB; at += MiB) await device.write(at, noise(MiB, at))
      await device.sync()
    }
    await expect(writeAll()).rejects.toMatchObject({
      type: 'ImageWriteError',
      details: expect.stringMatching(new RegExp(`of ${loop.path} failed with (EIO|ENOSPC)`)),
    })
  })

  test('where O_DIRECT is refused, the page cache is used, and the log says so', async () => {
    await using folder = await temporaryFolder()
    await run('mount', ['-t', 'ramfs', 'ramfs', folder.path])
    try {
      const path = join(folder.path, 'disk')
      await using file = await open(path, 'w')
      await file.truncate(MiB)
      const lines: unknown[] = []
      const log = createLogger({
        level: 'warn',
        destination: { write: (line) => lines.push(JSON.parse(line)) },
      })
      await using device = await openBlockDevice(path, { mode: 'write', root, log })
      expect(device.isDirect).toBe(false)
      expect(lines).toMatchObject([{ device: path, err: { code: 'EINVAL' } }])
      await device.write(1001, noise(5000, 2))
      await device.sync()
      expect(Buffer.compare(readBack(path, 1001, 5000), noise(5000, 2))).toBe(0)
    } finally {
      await run('umount', ['--lazy', folder.path])
    }
  })

  test('a read-only device cannot be opened for writing', async () => {
    await using loop = await createLoopDevice({ sizeBytes: MiB, readOnly: true })
    await expect(openBlockDevice(loop.path, { mode: 'write', root })).rejects.toMatchObject({
      type: 'BlockDeviceError',
    })
  })
})

describe('a regular file that stands in for a disk', () => {
  test('takes unaligned writes and never grows', async () => {
    await using folder = await temporaryFolder()
    const path = join(folder.path, 'disk')
    await using file = await open(path, 'w')
    await truncate(path, MiB + 700)
    await using device = await openBlockDevice(path, { mode: 'write', root })
    expect(device.geometry.sizeBytes).toBe(MiB + 512)
    await device.write(MiB + 100, noise(412, 1))
    await device.sync()
    expect((await file.stat()).size).toBe(MiB + 700)
    expect(
      Buffer.compare((await readFile(path)).subarray(MiB + 100, MiB + 512), noise(412, 1)),
    ).toBe(0)
  })

  test('can be read to its last odd byte', async () => {
    await using folder = await temporaryFolder()
    const path = join(folder.path, 'image')
    await using file = await open(path, 'w')
    const bytes = noise(10_001, 5)
    await file.write(bytes)
    await using device = await openBlockDevice(path, { mode: 'read', root })
    const seen = new Uint8Array(10_001)
    await device.read(0, seen)
    expect(Buffer.compare(seen, bytes)).toBe(0)
  })

  test('a missing path is DeviceNotFound', async () => {
    await expect(
      openBlockDevice('/dev/no-such-disk', { mode: 'write', root }),
    ).rejects.toMatchObject({
      type: 'DeviceNotFound',
    })
  })

  test('a character device is no disk', async () => {
    await expect(openBlockDevice('/dev/zero', { mode: 'write', root })).rejects.toMatchObject({
      type: 'BlockDeviceError',
    })
  })
})

async function temporaryFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'ironswarm-disk-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

async function mount(source: string): Promise<AsyncDisposable & { path: string }> {
  const folder = await temporaryFolder()
  const path = join(folder.path, 'mounted here')
  await mkdir(path)
  await run('mount', [source, path])
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      await run('umount', [path])
      await folder[Symbol.asyncDispose]()
    },
  }
}

/** A tmpfs of 8 MiB: less than the disks put on it. */
async function fullFileSystem(): Promise<AsyncDisposable & { path: string }> {
  const folder = await temporaryFolder()
  await run('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', folder.path])
  expect((await statfs(folder.path)).blocks * 4096).toBe(8 * MiB)
  return {
    path: folder.path,
    [Symbol.asyncDispose]: async () => {
      await run('umount', [folder.path])
      await folder[Symbol.asyncDispose]()
    },
  }
}
