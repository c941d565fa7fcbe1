// SPDX-License-Identifier: Apache-2.0
// Owns the image that benchmarks of the swarm deliver: the same bytes in every run. Has no partitions.
import { createCipheriv } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { describeImage } from '../support/disk-image.ts'

const MiB = 1024 * 1024

export interface BenchImage {
  readonly path: string
  readonly name: string
  readonly sha256: string
}

/** AES-CTR of zeros, a multiple of 1 MiB, made once per folder. */
export async function benchImage(folder: string, sizeBytes: number): Promise<BenchImage> {
  const name = `image-${sizeBytes / MiB}.raw`
  const path = join(folder, name)
  if (!existsSync(path) || statSync(path).size !== sizeBytes) {
    const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16))
    await using file = await open(path, 'w')
    const zeros = Buffer.alloc(MiB)
    for (let at = 0; at < sizeBytes; at += MiB) await file.write(cipher.update(zeros))
  }
  return { path, name, sha256: (await describeImage(path)).sha256 }
}
