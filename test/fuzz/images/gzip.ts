// SPDX-License-Identifier: Apache-2.0
// Owns small gzip files of every kind that is read, and where they hurt. Does not damage them.
import { crc32, deflateRawSync, gzipSync } from 'node:zlib'
import type { SmallImage } from './formats.ts'
import type { Field } from './mutate.ts'

const TEXT = Buffer.from(new Uint8Array(48 * 1024).map((_, at) => (at * at) >>> 7))
const RAW = TEXT.subarray(0, 4096)

/** Flags of RFC 1952, 2.3.1. */
const FHCRC = 2
const FEXTRA = 4
const FNAME = 8
const FCOMMENT = 16

/** A member with every field that a header may have; `extra` as bgzip and pigz have it. */
function memberWith(flags: number, extra: Buffer, content: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16LE(extra.length)
  const head = Buffer.concat([
    Buffer.from([0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255]),
    ...(flags & FEXTRA ? [length, extra] : []),
    ...(flags & FNAME ? [Buffer.from(`${'disk-'.repeat(8)}.raw\0`)] : []),
    ...(flags & FCOMMENT ? [Buffer.from('of a disk\0')] : []),
  ])
  const headSum = Buffer.alloc(2)
  headSum.writeUInt16LE(crc32(head) & 0xffff)
  const tail = Buffer.alloc(8)
  tail.writeUInt32LE(crc32(content))
  tail.writeUInt32LE(content.length, 4)
  return Buffer.concat([head, ...(flags & FHCRC ? [headSum] : []), deflateRawSync(content), tail])
}

/** Each byte of its header, the first of its blocks, and what it says of its content at the end. */
function fieldsOf(members: readonly Buffer[]): Field[] {
  let begin = 0
  return members.flatMap((member) => {
    const from = begin
    begin += member.length
    const head = Array.from({ length: Math.min(48, member.length) }, (_, at) => field(from + at, 1))
    if (member.length < 18) return head
    return [...head, field(begin - 8, 4), field(begin - 4, 4), field(from + 4, 4)]
  })
}

function field(offset: number, bytes: Field['bytes']): Field {
  return { offset, bytes, order: 'little' }
}

export function smallGzips(): readonly SmallImage[] {
  const blocked = Buffer.from([0x42, 0x43, 2, 0, 0x1b, 0])
  const kinds: Record<string, readonly Buffer[]> = {
    'a member': [gzipSync(TEXT)],
    'several members': [gzipSync(TEXT), gzipSync(RAW), gzipSync(''), gzipSync(Buffer.alloc(8192))],
    'blocks that are not compressed': [gzipSync(TEXT, { level: 0 })],
    'every field of a header': [
      memberWith(FHCRC | FEXTRA | FNAME | FCOMMENT, blocked, RAW),
      memberWith(FEXTRA, blocked, TEXT),
    ],
    'a name, which may be any': [memberWith(FNAME, blocked, RAW)],
    'a comment and no name': [memberWith(FCOMMENT | FEXTRA, blocked, TEXT)],
    'zeros behind the last member': [gzipSync(RAW), Buffer.alloc(600)],
  }
  return Object.entries(kinds).map(([name, members]) => ({
    name,
    file: Buffer.concat(members),
    fields: fieldsOf(members),
  }))
}
