// SPDX-License-Identifier: Apache-2.0
// Owns what the first bytes of an image say it is (contract 5.3.6). Only names formats; never follows
// anything an image's header points to.
import { AgentError } from '../../core/errors.ts'
import { KiB } from '../../core/units.ts'
import { parseMbr, pointsToGpt } from '../../disk/partition-table/mbr.ts'
import { ENCODINGS, type WritableFormat } from './encodings.ts'
import { type Container, isContainer, UNPACKERS } from './unpackers.ts'

/** Enough for every signature below; ISO 9660 has its own at 32 KiB. */
export const SNIFFED_BYTES = 64 * KiB

/** `raw` also stands for "nothing known": bytes that go to the disk as they are. */
export type ImageFormat = WritableFormat | ContainerFormat | PackedFormat
export type ContainerFormat =
  | 'qcow2'
  | 'qed'
  | 'vmdk'
  | 'vhd'
  | 'vhdx'
  | 'vdi'
  | 'luks'
  | 'parallels'
/** What has to be unpacked before it is an image of any kind. */
export type PackedFormat = (typeof PACKED)[number]['format']

/** What an image is of: a disk with its table, or what lies in one partition. */
export type ImageContent = 'whole disk' | 'partition'

interface Signature {
  readonly format: ImageFormat
  readonly offset: number
  readonly bytes: string
}

const PACKED = [
  { format: 'gzip', offset: 0, bytes: '\x1f\x8b' },
  { format: 'xz', offset: 0, bytes: '\xfd7zXZ\0' },
  { format: 'zstd', offset: 0, bytes: '\x28\xb5\x2f\xfd' },
  // skippable frames, first in seekable and parallel zstd: the lowest four bits are free
  ...Array.from({ length: 16 }, (_, i) => ({
    format: 'zstd' as const,
    offset: 0,
    bytes: `${String.fromCharCode(0x50 + i)}\x2a\x4d\x18`,
  })),
  { format: 'bzip2', offset: 0, bytes: 'BZh' },
  { format: 'lz4', offset: 0, bytes: '\x04\x22\x4d\x18' },
  { format: 'lzip', offset: 0, bytes: 'LZIP' },
  { format: 'lzma', offset: 0, bytes: '\x5d\0\0' },
  { format: 'lzop', offset: 0, bytes: '\x89LZO' },
  { format: 'compress', offset: 0, bytes: '\x1f\x9d' },
  { format: 'zip', offset: 0, bytes: 'PK\x03\x04' },
  { format: '7z', offset: 0, bytes: '7z\xbc\xaf\x27\x1c' },
  { format: 'rar', offset: 0, bytes: 'Rar!\x1a\x07' },
  { format: 'tar', offset: 257, bytes: 'ustar' },
  { format: 'Android sparse', offset: 0, bytes: '\x3a\xff\x26\xed' },
] as const

const PACKED_NAMES: ReadonlySet<ImageFormat> = new Set(PACKED.map(({ format }) => format))

/** Latin-1 text at an offset. qcow2 and the like first: their header is at the very start. */
const SIGNATURES: readonly Signature[] = [
  { format: 'qcow2', offset: 0, bytes: 'QFI\xfb' },
  { format: 'qed', offset: 0, bytes: 'QED\0' },
  { format: 'vmdk', offset: 0, bytes: 'KDMV' },
  { format: 'vmdk', offset: 0, bytes: 'COWD' },
  { format: 'vmdk', offset: 0, bytes: '# Disk DescriptorFile' },
  { format: 'vhdx', offset: 0, bytes: 'vhdxfile' },
  { format: 'vhd', offset: 0, bytes: 'conectix' },
  { format: 'vdi', offset: 0x40, bytes: '\x7f\x10\xda\xbe' },
  { format: 'luks', offset: 0, bytes: 'LUKS\xba\xbe' },
  { format: 'parallels', offset: 0, bytes: 'WithoutFreeSpace' },
  { format: 'parallels', offset: 0, bytes: 'WithouFreSpacExt' },
  // a 4Kn image has its GPT header one large sector in
  { format: 'gpt', offset: 512, bytes: 'EFI PART' },
  { format: 'gpt', offset: 4096, bytes: 'EFI PART' },
  { format: 'iso', offset: 0x8001, bytes: 'CD001' },
  ...PACKED,
]

/** File systems that begin where the image does: what a partition image shows. */
const FILE_SYSTEMS: readonly {
  readonly name: string
  readonly offset: number
  readonly bytes: string
}[] = [
  { name: 'an ext2, ext3 or ext4 file system', offset: 0x438, bytes: '\x53\xef' },
  { name: 'an XFS file system', offset: 0, bytes: 'XFSB' },
  { name: 'a squashfs', offset: 0, bytes: 'hsqs' },
  { name: 'an LVM physical volume', offset: 512, bytes: 'LABELONE' },
  { name: 'an ISO 9660 image that is not isohybrid', offset: 0x8001, bytes: 'CD001' },
]

const BOOT_SIGNATURE = { offset: 510, bytes: '\x55\xaa' } as const

/** The format the first bytes show; `raw` when no signature is found. */
export function detectFormat(firstBytes: Uint8Array): ImageFormat {
  const found = SIGNATURES.find((signature) => holds(firstBytes, signature))
  // boot code may begin with any three bytes: an MBR signature outweighs a packer's magic
  if (found && PACKED_NAMES.has(found.format) && holds(firstBytes, BOOT_SIGNATURE)) return 'raw'
  return found?.format ?? 'raw'
}

/** Every container and partition table that the first bytes show. */
export function allFormats(firstBytes: Uint8Array): ImageFormat[] {
  const found = SIGNATURES.filter((signature) => holds(firstBytes, signature))
  return [...new Set(found.map(({ format }) => format))]
}

/**
 * The format in which the image is written, by its first bytes, before or as soon as they are there: whatever
 * was named, what they show must be a whole disk in an encoding that is written. `raw` and `gpt` need no
 * permission when they are named (contract 5.3.6), `iso` does either way; `gpt` counts as raw: with 21.4 a
 * bootable raw disk arrives with disk_format null (ibid. [!]).
 * @param named by disk_format; null where it says nothing
 * @param permitted config `permitted_image_formats`
 * @param content what the image has to be of
 * Throws InvalidImage that names what was found.
 */
export function judgeFirstBytes(
  firstBytes: Uint8Array,
  named: WritableFormat | null,
  permitted: readonly string[],
  content: ImageContent = 'whole disk',
): WritableFormat {
  const found = detectFormat(firstBytes)
  if (!isWritable(found)) throw laterFormat(found, named)
  // an isohybrid image with a GPT is both
  const isIso = SIGNATURES.some(({ format, ...at }) => format === 'iso' && holds(firstBytes, at))
  if (named === 'iso' && !isIso) {
    throw new AgentError(
      'InvalidImage',
      `disk_format is iso, but the image's first bytes show ${found}`,
    )
  }
  const format = named ?? found
  if (named === null || named === 'iso') requirePermitted(format, permitted)
  if (content === 'partition') requirePartition(firstBytes)
  else requireWholeDisk(firstBytes)
  return format
}

/** Throws InvalidImage for an image with a partition table, which would lie in a partition where nobody looks for it. */
function requirePartition(firstBytes: Uint8Array): void {
  const hasGpt =
    pointsToGpt(firstBytes) &&
    SIGNATURES.some(({ format, ...at }) => format === 'gpt' && holds(firstBytes, at))
  // boot sectors of file systems carry the boot signature as well
  const isFileSystem = FILE_SYSTEMS.some((signature) => holds(firstBytes, signature))
  const partitions = isFileSystem ? [] : (parseMbr(firstBytes)?.partitions ?? [])
  if (!hasGpt && partitions.length === 0) return
  throw new AgentError(
    'InvalidImage',
    `image_type is partition, but the image holds ${hasGpt ? 'a GPT' : 'an MBR with partitions'}: it is of a whole ` +
      'disk. Leave out kernel_id and ramdisk_id (for a node: instance_info.kernel, .ramdisk), or say that image_type is ' +
      'whole-disk; or use an image of a file system',
  )
}

function requireWholeDisk(firstBytes: Uint8Array): void {
  if (holds(firstBytes, BOOT_SIGNATURE)) return
  const whole = FILE_SYSTEMS.find((signature) => holds(firstBytes, signature))?.name
  throw new AgentError(
    'InvalidImage',
    `the image's first sector holds no partition table (no 55 AA at byte 510)${whole ? `: it is ${whole}` : ''}. ` +
      'Use the image of a whole disk; for a node, a partition image has kernel_id and ramdisk_id besides ' +
      '(instance_info.kernel, .ramdisk)',
  )
}

/** Throws InvalidImage for a format that permitted_image_formats leaves out. */
export function requirePermitted(
  format: WritableFormat | Container,
  permitted: readonly string[],
): void {
  const names: string[] = format === 'iso' || isContainer(format) ? [format] : ['raw', 'gpt']
  if (names.some((name) => permitted.includes(name))) return
  throw new AgentError(
    'InvalidImage',
    `the image is ${format}, permitted_image_formats has only ${permitted.join(', ')}`,
  )
}

/** The error for what first bytes show and this agent does not write. */
function laterFormat(format: string, named: string | null): AgentError {
  const although = named === null ? '' : `, although disk_format is ${named}`
  return new AgentError(
    'InvalidImage',
    `the image is ${format}${although}; whole-disk images are written as they are (${Object.keys(ENCODINGS).join(', ')}) ` +
      `or unpacked (${Object.keys(UNPACKERS).join(', ')}). Convert it (qemu-img convert -O raw, then zstd)`,
  )
}

/** True for the names of formats that are written. */
export function isWritable(format: string): format is WritableFormat {
  return Object.hasOwn(ENCODINGS, format)
}

function holds(
  bytes: Uint8Array,
  { offset, bytes: text }: Pick<Signature, 'offset' | 'bytes'>,
): boolean {
  if (bytes.length < offset + text.length) return false
  return Buffer.from(bytes.subarray(offset, offset + text.length)).toString('latin1') === text
}
