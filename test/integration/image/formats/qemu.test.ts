// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from 'node:crypto'
import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  judgeQemuHeader,
  QEMU_DRIVERS,
  type QemuFormat,
} from '../../../../agent/image/formats/qemu/judge-header.ts'
import { unpackByQemu } from '../../../../agent/image/formats/qemu/unpack-qemu.ts'
import type { Unpack } from '../../../../agent/image/formats/unpacker.ts'
import { exec } from '../../../../agent/system/exec.ts'
import { unpackToFile as unpackTo } from '../../../support/formats/unpacked-file.ts'
import { useOwnTemporaryFolder } from '../../../support/resources.ts'

const MiB = 1024 * 1024
const DISK_BYTES = 24 * MiB
const temporary = await useOwnTemporaryFolder()

/** A disk with data at odd places and holes between them, as qemu-img makes an image of it. */
async function makeImage(folder: string, format: QemuFormat, options = ''): Promise<string> {
  const raw = join(folder, 'disk.raw')
  await using disk = await open(raw, 'w')
  await disk.truncate(DISK_BYTES)
  for (const [offset, length] of [
    [0, 3 * MiB],
    [5 * MiB + 512, 1024],
    [9 * MiB - 4096, 2 * MiB],
    [DISK_BYTES - 512, 512],
  ] as const) {
    await disk.write(randomBytes(length), 0, length, offset)
  }
  const image = join(folder, `disk.${format}`)
  const driver = QEMU_DRIVERS[format]
  const extra = options === '' ? [] : ['-o', options]
  await exec(['qemu-img', 'convert', '-f', 'raw', '-O', driver, ...extra, raw, image])
  return image
}

interface Folder extends AsyncDisposable {
  readonly path: string
}

async function createFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'ironswarm-unpack-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

function unpackToFile(
  unpack: Unpack,
  image: string,
  target: string,
  length = DISK_BYTES,
  signal = new AbortController().signal,
) {
  return unpackTo(unpack, image, target, { offset: 0, length, diskBytes: DISK_BYTES, signal })
}

/** Rejects with qemu-img's words if it sees two disks. */
async function requireSameDisk(image: string, format: string, raw: string): Promise<void> {
  await exec(['qemu-img', 'compare', '-f', format, '-F', 'raw', image, raw])
}

async function headOf(path: string): Promise<Uint8Array> {
  return (await readFile(path)).subarray(0, 64 * 1024)
}

test.for([
  ['vmdk', 'subformat=monolithicSparse', 8 * MiB],
  ['vmdk', 'subformat=streamOptimized', 8 * MiB],
  ['vhd', 'force_size=on', 8 * MiB],
  // qemu's reader names no holes of it
  ['vhdx', '', 0],
  ['vdi', '', 8 * MiB],
  ['vdi', 'static=on', 8 * MiB],
] as const)('a %s (%s) is unpacked as qemu reads it', async ([format, options, holeBytes]) => {
  await using folder = await createFolder()
  const image = await makeImage(folder.path, format, options)
  judgeQemuHeader(format, await headOf(image))
  const target = join(folder.path, 'target')
  const unpack = unpackByQemu(format)
  const { imageBytes, zeroedBytes, writtenBytes } = await unpackToFile(unpack, image, target)
  expect(imageBytes).toBe(DISK_BYTES)
  expect(zeroedBytes + writtenBytes).toBe(DISK_BYTES)
  expect(zeroedBytes).toBeGreaterThanOrEqual(holeBytes)
  await requireSameDisk(image, QEMU_DRIVERS[format], target)
})

test('a file that lies in the middle of another is read where it lies', async () => {
  await using folder = await createFolder()
  const image = await makeImage(folder.path, 'vmdk', 'subformat=streamOptimized')
  const bytes = await readFile(image)
  const disk = join(folder.path, 'a,disk')
  await writeFile(disk, Buffer.concat([randomBytes(MiB), bytes, randomBytes(MiB)]))
  const kept = {
    path: disk,
    isBlockDevice: false,
    range: { offset: MiB, length: bytes.length },
  }
  const target = join(folder.path, 'target')
  const unpack = unpackByQemu('vmdk')
  await unpackToFile((request) => unpack({ ...request, keptAt: kept }), image, target)
  await requireSameDisk(image, 'vmdk', target)
})

test('an image that is larger than its window is refused before a byte of it is written', async () => {
  await using folder = await createFolder()
  const image = await makeImage(folder.path, 'vdi')
  const unpack = unpackByQemu('vdi')
  const unpacking = unpackToFile(unpack, image, join(folder.path, 'target'), 4 * MiB)
  await expect(unpacking).rejects.toMatchObject({
    type: 'InvalidImage',
    message: expect.stringContaining(`${DISK_BYTES} bytes, there is room for ${4 * MiB}`),
  })
})

test('one whose header tells another size than qemu reads is refused', async () => {
  await using folder = await createFolder()
  const image = await makeImage(folder.path, 'vdi')
  const unpack = unpackByQemu('vdi')
  const unpacking = unpackToFile(
    (request) => unpack({ ...request, virtualBytes: DISK_BYTES + 512 }),
    image,
    join(folder.path, 'target'),
  )
  await expect(unpacking).rejects.toThrow(`tells a disk of ${DISK_BYTES + 512} bytes`)
})

test('a file cut short is refused with qemu’s words, and nothing of the reader stays', async () => {
  await using folder = await createFolder()
  const image = await makeImage(folder.path, 'vhdx')
  const cut = join(folder.path, 'cut.vhdx')
  await writeFile(cut, (await readFile(image)).subarray(0, 200 * 1024))
  const unpack = unpackByQemu('vhdx')
  const unpacking = unpackToFile(unpack, cut, join(folder.path, 'target'))
  await expect(unpacking).rejects.toMatchObject({ type: 'InvalidImage' })
  expect((await readdir(temporary)).filter((name) => name.startsWith('ironswarm-nbd-'))).toEqual([])
})

test('a cancelled one ends its reader', async () => {
  await using folder = await createFolder()
  const image = await makeImage(folder.path, 'vmdk')
  const cancel = new AbortController()
  const unpack = unpackByQemu('vmdk')
  const path = join(folder.path, 'target')
  const unpacking = unpackToFile(
    (request) =>
      unpack({
        ...request,
        sink: {
          ...request.sink,
          write: async (extent) => {
            cancel.abort()
            await request.sink.write(extent)
          },
        },
      }),
    image,
    path,
    DISK_BYTES,
    cancel.signal,
  )
  await expect(unpacking).rejects.toMatchObject({ type: 'CancelledError' })
  await expect(exec(['pgrep', '-f', `qemu-nbd.*${folder.path}`])).rejects.toThrow('exit code 1')
})

test('a vhdx with a parent is refused by the reader', async () => {
  await using folder = await createFolder()
  const image = await makeImage(folder.path, 'vhdx')
  const bytes = await readFile(image)
  // file parameters (MS-VHDX 2.6.2.1): block size, then flags of which bit 1 is HasParent
  const item = bytes.indexOf(Buffer.from('3767a1ca36fa434db3b633f0aa44e76b', 'hex'))
  const at = bytes.readUInt32LE(item + 16) + bytes.subarray(0, item).lastIndexOf('metadata') + 4
  bytes.writeUInt32LE(bytes.readUInt32LE(at) | 2, at)
  await writeFile(image, bytes)
  const unpack = unpackByQemu('vhdx')
  const unpacking = unpackToFile(unpack, image, join(folder.path, 'target'))
  await expect(unpacking).rejects.toMatchObject({ type: 'InvalidImage' })
})
