// SPDX-License-Identifier: Apache-2.0
// Owns small whole-disk images for tests: a real partition table, content that differs in every sector.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { open, stat } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)
const MiB = 1024 * 1024

export interface DiskImage {
  readonly path: string
  readonly sizeBytes: number
  readonly sha256: string
  readonly sha512: string
}

/**
 * Writes an image of `sizeBytes` (a multiple of 1 MiB, at least 8) with a GPT that holds an ESP with a
 * (fake) EFI/BOOT/BOOTX64.EFI and a Linux partition, or an MBR with one Linux partition. Content is a fixed keystream of `seed`.
 */
export async function makeDiskImage(
  path: string,
  {
    sizeBytes,
    table = 'gpt',
    seed = 1,
  }: { sizeBytes: number; table?: 'gpt' | 'mbr'; seed?: number },
): Promise<DiskImage> {
  {
    await using file = await open(path, 'w')
    for (let offset = 0, block = 0; offset < sizeBytes; offset += MiB, block++) {
      await file.write(keystream(seed, block, Math.min(MiB, sizeBytes - offset)), 0, null, offset)
    }
    // the places of both partition tables start out empty
    await file.write(Buffer.alloc(MiB), 0, MiB, 0)
    await file.write(Buffer.alloc(MiB), 0, MiB, sizeBytes - MiB)
  }
  const script =
    table === 'gpt'
      ? 'label: gpt\nlabel-id: 6E1B2A4C-0000-4000-8000-000000000001\nstart=2048,size=8192,type=U\nstart=10240,type=L\n'
      : 'label: dos\nlabel-id: 0x1a2b3c4d\nstart=2048,type=83,bootable\n'
  const sfdisk = run('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', path])
  sfdisk.child.stdin?.end(script)
  await sfdisk
  if (table === 'gpt') await makeEsp(path)
  return describeImage(path)
}

/** FAT at 1 MiB, 4 MiB long, written at its offset: nothing is mounted. */
async function makeEsp(path: string): Promise<void> {
  await run('mkfs.vfat', ['--offset', '2048', '-i', '1a2b3c4d', '-n', 'ESP', path, '4096'])
  const esp = `${path}@@${MiB}`
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', MTOOLS_SKIP_CHECK: '1' }
  await run('mmd', ['-i', esp, '::/EFI', '::/EFI/BOOT'], { env })
  const loader = run('mcopy', ['-i', esp, '-', '::/EFI/BOOT/BOOTX64.EFI'], { env })
  loader.child.stdin?.end('MZ: no loader, only its name')
  await loader
}

/** Size and hashes of a file. */
export async function describeImage(path: string): Promise<DiskImage> {
  const hashes = { sha256: createHash('sha256'), sha512: createHash('sha512') }
  const { size } = await stat(path)
  await using file = await open(path)
  for await (const block of file.createReadStream({ autoClose: false, highWaterMark: MiB })) {
    hashes.sha256.update(block)
    hashes.sha512.update(block)
  }
  return {
    path,
    sizeBytes: size,
    sha256: hashes.sha256.digest('hex'),
    sha512: hashes.sha512.digest('hex'),
  }
}

/** `length` bytes no other block of any seed has: 64-byte digests of a counter, repeated with an index. */
function keystream(seed: number, block: number, length: number): Buffer {
  const bytes = Buffer.alloc(length, createHash('sha512').update(`${seed}/${block}`).digest())
  for (let at = 0; at + 4 <= length; at += 64) bytes.writeUInt32LE(at ^ (block << 8), at)
  return bytes
}
