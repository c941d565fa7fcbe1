// SPDX-License-Identifier: Apache-2.0
// Owns small vmdk, vhd, vhdx and vdi files, as far as their headers are judged before qemu's reader gets them, and
// where they hurt. Does not damage them, nor start qemu.
import { SNIFFED_BYTES } from '../../../agent/image/formats/image-format.ts'
import { judgeProved } from '../../../agent/image/formats/judge-file.ts'
import type { QemuFormat } from '../../../agent/image/formats/qemu/judge-header.ts'
import type { SmallImage } from './formats.ts'
import type { Field } from './mutate.ts'

const NOT_NAMED = { disk: null, packing: null }
const DISK_BYTES = 24 * 1024 * 1024
const SECTOR_BYTES = 512

/** The judgement of a proved file. Throws a plain Error for a size that no disk has. */
export function judgeAs(format: QemuFormat) {
  const read = async (file: Uint8Array) => {
    const size = judgeProved(file.subarray(0, SNIFFED_BYTES), format, NOT_NAMED, [format])
    if (size !== null && !(Number.isSafeInteger(size) && size > 0 && size <= 2 ** 50)) {
      throw new Error(`a ${format} of ${size} bytes was taken`)
    }
    return size
  }
  return { read, refusal: 'InvalidImage' as const }
}

const DESCRIPTOR = [
  '# Disk DescriptorFile',
  'version=1',
  'CID=1a2b3c4d',
  'parentCID=ffffffff',
  'createType="monolithicSparse"',
  `RW ${DISK_BYTES / SECTOR_BYTES} SPARSE "disk.vmdk"`,
  'ddb.virtualHWVersion = "4"',
  '',
]

/** VMware's Virtual Disk Format 5.0. */
export function smallVmdks(): readonly SmallImage[] {
  const fields = [
    ...[0, 4, 8].map((at) => little(at, 4)),
    ...[12, 20, 28, 36].map((at) => little(at, 8)),
  ]
  return Object.entries({
    monolithicSparse: DESCRIPTOR,
    streamOptimized: DESCRIPTOR.map((line) => line.replace('monolithicSparse', 'streamOptimized')),
    'lines that end like those of DOS': DESCRIPTOR.map((line) => `${line}\r`),
  }).map(([name, lines]) => {
    const file = Buffer.alloc(8 * 1024)
    file.write('KDMV', 0, 'latin1')
    file.writeUInt32LE(1, 4)
    file.writeBigUInt64LE(BigInt(DISK_BYTES / SECTOR_BYTES), 12)
    file.writeBigUInt64LE(1n, 28)
    file.writeBigUInt64LE(2n, 36)
    const text = lines.join('\n')
    file.write(text, SECTOR_BYTES, 'latin1')
    const letters = Array.from({ length: text.length }, (_, at) => little(SECTOR_BYTES + at, 1))
    // half of the edits for the text
    const header = Array.from({ length: Math.ceil(letters.length / fields.length) }, () => fields)
    return { name, file, fields: [...header.flat(), ...letters] }
  })
}

/** Microsoft's VHD specification 1.0. */
export function smallVhds(): readonly SmallImage[] {
  const file = Buffer.alloc(2048)
  file.write('conectix', 0, 'latin1')
  file.writeBigUInt64BE(BigInt(DISK_BYTES), 48)
  file.writeUInt32BE(3, 60)
  const fields = [big(0, 8), big(16, 8), big(40, 8), big(48, 8), big(56, 4), big(60, 4), big(64, 4)]
  return [{ name: 'dynamic', file, fields }]
}

/** MS-VHDX 2.2; its metadata is read by qemu alone. */
export function smallVhdxs(): readonly SmallImage[] {
  const file = Buffer.alloc(2048)
  file.write('vhdxfile', 0, 'latin1')
  return [{ name: 'dynamic', file, fields: [big(0, 8), big(4, 4), little(8, 8), little(512, 8)] }]
}

/** VirtualBox's VDICore.h: header version 1.1. */
export function smallVdis(): readonly SmallImage[] {
  return [1, 2].map((type) => {
    const file = Buffer.alloc(2048)
    file.writeUInt32LE(0xbeda107f, 0x40)
    file.writeUInt32LE(0x0001_0001, 0x44)
    file.writeUInt32LE(type, 0x4c)
    file.writeBigUInt64LE(BigInt(DISK_BYTES), 0x170)
    const fields = [
      ...[0x40, 0x44, 0x48, 0x4c, 0x154, 0x158, 0x178].map((at) => little(at, 4)),
      little(0x170, 8),
    ]
    return { name: `of type ${type}`, file, fields }
  })
}

function little(offset: number, bytes: Field['bytes']): Field {
  return { offset, bytes, order: 'little' }
}

function big(offset: number, bytes: Field['bytes']): Field {
  return { offset, bytes, order: 'big' }
}
