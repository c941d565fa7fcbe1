import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BlockDevice } from '../../../../agent/disk/block-device.ts'
import { addPartition, fixBackupGpt } from '../../../../agent/disk/partition-table/partitioner.ts'
import { guessOriginalHead } from '../../../../agent/image/proof/original-head.ts'

const SECTOR = 512
const MiB = 1024 * 1024

/** A disk in memory: the edge to the operating system. */
function memoryDisk(bytes: Uint8Array): BlockDevice {
  return {
    geometry: {
      path: 'memory',
      sizeBytes: bytes.length,
      logicalSectorBytes: SECTOR,
      physicalSectorBytes: SECTOR,
      isBlockDevice: false,
    },
    fd: -1,
    isDirect: false,
    timeoutMs: 0,
    read: async (offset, target) => target.set(bytes.subarray(offset, offset + target.length)),
    write: async (offset, data) => bytes.set(data, offset),
    sync: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  }
}

/** The bytes of an image with an MBR of one partition. */
function mbrImage(sizeBytes: number): Uint8Array {
  const image = new Uint8Array(sizeBytes)
  const view = new DataView(image.buffer)
  image.set([0x80, 0, 0, 0, 0x83, 0, 0, 0], 446)
  view.setUint32(454, 2048, true)
  view.setUint32(458, sizeBytes / SECTOR - 2048, true)
  image.set([0x55, 0xaa], 510)
  return image
}

async function restored(disk: Uint8Array, imageBytes: number): Promise<Uint8Array> {
  const bytes = disk.slice(0, imageBytes)
  const guess = await guessOriginalHead(memoryDisk(disk), imageBytes)
  for (const { offset, bytes: original } of guess) bytes.set(original, offset)
  return bytes
}

describe('guessOriginalHead', () => {
  test('takes the config drive out of an MBR', async () => {
    const image = mbrImage(4 * MiB)
    const disk = new Uint8Array(16 * MiB)
    disk.set(image)
    await addPartition(memoryDisk(disk), { sizeBytes: MiB, name: 'config-2' })
    expect(Buffer.compare(disk.subarray(0, SECTOR), image.subarray(0, SECTOR))).not.toBe(0)
    expect(Buffer.compare(await restored(disk, image.length), image)).toBe(0)
  })

  test('guesses nothing for a disk of the size of the image, or without a table', async () => {
    expect(await guessOriginalHead(memoryDisk(mbrImage(4 * MiB)), 4 * MiB)).toEqual([])
    expect(await guessOriginalHead(memoryDisk(new Uint8Array(MiB)), MiB)).toEqual([])
    expect(await guessOriginalHead(memoryDisk(new Uint8Array(MiB)), 100)).toEqual([])
  })

  test('never throws, whatever stands on the disk where tables should be', async () => {
    const noise = fc.uint8Array({ minLength: SECTOR, maxLength: SECTOR })
    await fc.assert(
      fc.asyncProperty(noise, noise, fc.boolean(), async (first, last, isSigned) => {
        const disk = new Uint8Array(64 * 1024)
        disk.set(first)
        disk.set(last, 32 * 1024 - SECTOR)
        if (isSigned) disk.set(Buffer.from('EFI PART'), 32 * 1024 - SECTOR)
        await restored(disk, 32 * 1024)
      }),
    )
  })

  test('leaves a table that was never fitted as it is', async () => {
    const image = mbrImage(4 * MiB)
    const disk = memoryDisk(image.slice())
    expect(await fixBackupGpt(disk)).toBe('no-gpt')
    expect(await guessOriginalHead(disk, image.length)).toEqual([])
  })
})
