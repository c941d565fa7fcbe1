// SPDX-License-Identifier: Apache-2.0
// Owns writing initramfs archives (cpio "newc", Documentation/driver-api/early-userspace/buffer-format),
// the same bytes for the same input: no clock, no inode numbers of the build machine.

export interface CpioEntry {
  readonly path: string
  /** Type and permissions as in `struct stat`: 0o100755, 0o040755, 0o120777 … */
  readonly mode: number
  /** File content, or the target of a symbolic link. */
  readonly content?: Uint8Array
  /** Major and minor number of a device node. */
  readonly device?: readonly [number, number]
}

export const directory = (path: string): CpioEntry => ({ path, mode: 0o040755 })
export const file = (path: string, content: Uint8Array, mode = 0o100644): CpioEntry => ({
  path,
  mode,
  content,
})
export const link = (path: string, target: string): CpioEntry => ({
  path,
  mode: 0o120777,
  content: Buffer.from(target),
})

/** An archive of the entries in the order given; a directory must come before what lies in it. */
export function makeCpio(entries: readonly CpioEntry[], epochSeconds: number): Buffer {
  const parts = entries.flatMap((entry, i) => record(entry, i + 1, epochSeconds))
  parts.push(...record({ path: 'TRAILER!!!', mode: 0 }, 0, 0))
  return Buffer.concat(parts)
}

function record(entry: CpioEntry, inode: number, epochSeconds: number): Buffer[] {
  const content = entry.content ?? new Uint8Array(0)
  const name = Buffer.from(`${entry.path}\0`)
  const isDirectory = (entry.mode & 0o170000) === 0o040000
  const [major, minor] = entry.device ?? [0, 0]
  const fields = [
    inode,
    entry.mode,
    0,
    0,
    isDirectory ? 2 : 1,
    epochSeconds,
    content.length,
    0,
    0,
    major,
    minor,
    name.length,
    0,
  ]
  const hex = fields.map((field) => field.toString(16).toUpperCase().padStart(8, '0')).join('')
  return [padded(Buffer.concat([Buffer.from(`070701${hex}`), name])), padded(content)]
}

function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)])
}
