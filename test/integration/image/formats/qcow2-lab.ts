// SPDX-License-Identifier: Apache-2.0
// Owns qcow2 images that QEMU's own programs make, and its judgement of what became of them.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { unpackQcow2 } from '../../../../agent/image/formats/qcow2/unpack.ts'
import type { Unpack } from '../../../../agent/image/formats/unpacker.ts'
import { type UnpackedFile, unpackToFile } from '../../../support/formats/unpacked-file.ts'

export const run = promisify(execFile)
export const KiB = 1024
export const MiB = 1024 * KiB

/** A run of the guest's disk; `pattern` undefined means what qemu-io's `zero` or `discard` makes of it. */
export interface GuestWrite {
  readonly offset: number
  readonly length: number
  readonly how: 'write' | 'zero' | 'discard' | 'compressed'
  readonly pattern: number
}

/** Makes an image by `qemu-img create` and writes into it as a guest would. */
export async function makeQcow2(
  path: string,
  options: string,
  sizeBytes: number,
  writes: readonly GuestWrite[],
): Promise<void> {
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', options, path, String(sizeBytes)])
  if (writes.length === 0) return
  // -d unmap: a discard punches holes
  const commands = writes.flatMap((write) => ['-c', commandOf(write)])
  await run('qemu-io', ['-f', 'qcow2', '-d', 'unmap', ...commands, path])
}

function commandOf({ how, offset, length, pattern }: GuestWrite): string {
  switch (how) {
    case 'write':
      return `write -q -P ${pattern} ${offset} ${length}`
    case 'compressed':
      return `write -q -c -P ${pattern} ${offset} ${length}`
    case 'zero':
      return `write -q -z ${offset} ${length}`
    case 'discard':
      return `discard -q ${offset} ${length}`
  }
}

/** Unpacks into a window in the middle of a disk; throws unless qemu-img calls the window identical. */
export async function unpackAndCompare(
  folder: string,
  image: string,
  { slackBytes = 64 * KiB, unpack = unpackQcow2 }: { slackBytes?: number; unpack?: Unpack } = {},
): Promise<UnpackedFile> {
  const virtualBytes = await virtualBytesOf(image)
  const target = join(folder, 'disk.raw')
  const offset = MiB
  const length = virtualBytes + slackBytes
  const unpacked = await unpackToFile(unpack, image, target, {
    offset,
    length,
    diskBytes: offset + length + MiB,
  })
  const window = {
    driver: 'raw',
    offset,
    size: virtualBytes,
    file: { driver: 'file', filename: target },
  }
  await run('qemu-img', ['compare', '-q', '-f', 'qcow2', image, `json:${JSON.stringify(window)}`])
  return unpacked
}

export async function virtualBytesOf(image: string): Promise<number> {
  const { stdout } = await run('qemu-img', ['info', '-f', 'qcow2', '--output=json', image])
  return JSON.parse(stdout)['virtual-size']
}
