// SPDX-License-Identifier: Apache-2.0
// Owns what tests of packed files share: a source with holes, noise and text, unpacking into a file, and the
// comparison by the program that packed it.
import { execFile } from 'node:child_process'
import { createCipheriv } from 'node:crypto'
import { open } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { UnpackedFormat } from '../../../../agent/image/formats/unpackers.ts'
import { UNPACKERS } from '../../../../agent/image/formats/unpackers.ts'
import { unpackToFile } from '../../../support/formats/unpacked-file.ts'

export const run = promisify(execFile)
export const KiB = 1024
export const MiB = 1024 * KiB

/** No multiple of a sector. */
export const SOURCE_BYTES = 25 * MiB + 700
const WINDOW_OFFSET = MiB
const ROOM_BYTES = 2 * MiB

/** Noise, text, a hole of some MiB, small holes. */
export async function writeSource(path: string): Promise<void> {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 3), Buffer.alloc(16))
  await using file = await open(path, 'w')
  for (let offset = 0; offset < SOURCE_BYTES; offset += 192 * KiB) {
    const length = Math.min(192 * KiB, SOURCE_BYTES - offset)
    const noise = cipher.update(Buffer.alloc(length))
    const kind = (offset / (192 * KiB)) % 4
    if (kind === 3 || (offset > 8 * MiB && offset < 16 * MiB)) continue
    const bytes = kind === 0 ? noise : Buffer.from(noise.toString('hex').slice(0, length))
    await file.write(bytes, 0, length, offset)
  }
  await file.truncate(SOURCE_BYTES)
}

/** Unpacks into a window of a new file; `room` is its length. */
export async function unpackInto(
  format: UnpackedFormat,
  packed: string,
  { room = SOURCE_BYTES + ROOM_BYTES, signal }: { room?: number; signal?: AbortSignal } = {},
) {
  const target = `${packed}.disk`
  const place = {
    offset: WINDOW_OFFSET,
    length: room,
    diskBytes: WINDOW_OFFSET + room + MiB,
    ...(signal ? { signal } : {}),
  }
  return { target, ...(await unpackToFile(UNPACKERS[format], packed, target, place)) }
}

/** Rejects unless the window holds what the program makes of the packed file, byte for byte, by cmp(1). */
export async function compareBy(
  unpack: readonly string[],
  packed: string,
  target: string,
  bytes: number,
): Promise<void> {
  const script =
    'set -o pipefail; file=$1 disk=$2 at=$3 n=$4; shift 4; "$@" < "$file" | cmp -i "0:$at" -n "$n" - "$disk"'
  const args = [packed, target, String(WINDOW_OFFSET), String(bytes), ...unpack]
  await run('bash', ['-c', script, 'bash', ...args])
}
