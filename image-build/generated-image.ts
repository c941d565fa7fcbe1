// SPDX-License-Identifier: Apache-2.0
// Owns the image that stands in where no bootable one can be built: a valid GPT with one partition of
// pseudo-random content. The same bytes everywhere; it does not boot.
import { createCipheriv } from 'node:crypto'
import { open } from 'node:fs/promises'
import { makeGpt, PARTITION_TYPES, SECTOR_BYTES } from './gpt.ts'

const MiB = 1024 * 1024

/** Makes the file `imagePath`; `sizeBytes` is a multiple of 1 MiB, at least 4 MiB. */
export async function makeGeneratedImage(imagePath: string, sizeBytes: number): Promise<void> {
  await using disk = await open(imagePath, 'w')
  await disk.truncate(sizeBytes)
  // AES-CTR over zeros: fast, incompressible, and the same on every machine
  const keystream = createCipheriv('aes-128-ctr', Buffer.alloc(16, 1), Buffer.alloc(16))
  const zeros = Buffer.alloc(MiB)
  for (let offset = MiB; offset < sizeBytes - MiB; offset += MiB) {
    await disk.write(keystream.update(zeros), 0, MiB, offset)
  }
  const { head, tail } = makeGpt({
    diskGuid: '1A04AD5E-0000-4000-8000-000000000011',
    diskSectors: sizeBytes / SECTOR_BYTES,
    partitions: [
      {
        name: 'generated',
        type: PARTITION_TYPES.linux,
        guid: '1A04AD5E-0000-4000-8000-000000000012',
        firstSector: MiB / SECTOR_BYTES,
        sectors: (sizeBytes - 2 * MiB) / SECTOR_BYTES,
      },
    ],
  })
  await disk.write(head, 0, head.length, 0)
  await disk.write(tail, 0, tail.length, sizeBytes - tail.length)
  await disk.sync()
}
