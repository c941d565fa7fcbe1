// SPDX-License-Identifier: Apache-2.0
// Owns the writing of a tar archive in memory (POSIX.1-1988 ustar): regular files only. Does not compress.

export interface TarMember {
  readonly name: string
  readonly content: string | Uint8Array
}

const BLOCK_BYTES = 512
const NAME_BYTES = 100

/**
 * The archive of `members`, owned by root, readable by root alone.
 * @param mtimeSeconds modification time of every member, s since the epoch
 */
export function createTar(members: readonly TarMember[], mtimeSeconds: number): Uint8Array {
  const parts: Uint8Array[] = []
  for (const { name, content } of members) {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content
    parts.push(header(name, bytes.length, mtimeSeconds), bytes, padding(bytes.length))
  }
  parts.push(new Uint8Array(2 * BLOCK_BYTES))
  return Buffer.concat(parts)
}

function padding(length: number): Uint8Array {
  return new Uint8Array((BLOCK_BYTES - (length % BLOCK_BYTES)) % BLOCK_BYTES)
}

/** ustar header: fixed fields, numbers as octal text, checksum over itself with a blank checksum. */
function header(name: string, size: number, mtimeSeconds: number): Uint8Array {
  const block = Buffer.alloc(BLOCK_BYTES)
  block.write(safeName(name), 0, NAME_BYTES, 'latin1')
  block.write('0000600\0', 100, 'latin1')
  block.write('0000000\0', 108, 'latin1')
  block.write('0000000\0', 116, 'latin1')
  block.write(octal(size, 11), 124, 'latin1')
  block.write(octal(Math.max(0, Math.floor(mtimeSeconds)), 11), 136, 'latin1')
  block.write('        ', 148, 'latin1')
  block.write('0', 156, 'latin1')
  block.write('ustar\x0000', 257, 'latin1')
  block.write('root', 265, 'latin1')
  block.write('root', 297, 'latin1')
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${octal(sum, 6)} `, 148, 'latin1')
  return block
}

function octal(value: number, digits: number): string {
  return `${value.toString(8).padStart(digits, '0')}\0`
}

/** A relative name of ASCII that stays inside of the directory it is unpacked in. */
function safeName(name: string): string {
  const parts = name
    .split('/')
    .filter((part) => !['', '.', '..'].includes(part))
    .map((part) => part.replaceAll(/[^\x21-\x7e]/g, '_'))
  return parts.join('/').slice(0, NAME_BYTES - 1) || '_'
}
