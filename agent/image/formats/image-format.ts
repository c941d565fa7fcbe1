// SPDX-License-Identifier: Apache-2.0
// Owns what the first bytes of an image say it is (contract 5.3.6). Only names formats; never follows
// anything an image's header points to.
import { AgentError } from '../../core/errors.ts'
import { KiB } from '../../core/units.ts'
import { ENCODINGS, type WritableFormat } from './encodings.ts'

/** Enough for every signature below; ISO 9660 has its own at 32 KiB. */
export const SNIFFED_BYTES = 64 * KiB

/** `raw` also stands for "nothing known": bytes that go to the disk as they are. */
export type ImageFormat = WritableFormat | 'compressed' | ContainerFormat
export type ContainerFormat = 'qcow2' | 'qed' | 'vmdk' | 'vhd' | 'vhdx' | 'vdi' | 'luks'

interface Signature {
  readonly format: ImageFormat
  readonly offset: number
  readonly bytes: string
}

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
  // a 4Kn image has its GPT header one large sector in
  { format: 'gpt', offset: 512, bytes: 'EFI PART' },
  { format: 'gpt', offset: 4096, bytes: 'EFI PART' },
  { format: 'iso', offset: 0x8001, bytes: 'CD001' },
  { format: 'compressed', offset: 0, bytes: '\x1f\x8b\x08' },
  { format: 'compressed', offset: 0, bytes: '\xfd7zXZ\0' },
  { format: 'compressed', offset: 0, bytes: '\x28\xb5\x2f\xfd' },
  { format: 'compressed', offset: 0, bytes: 'BZh' },
]

/** The format the first bytes show; `raw` when no signature is found. */
export function detectFormat(firstBytes: Uint8Array): ImageFormat {
  const found = SIGNATURES.find(({ offset, bytes }) => holds(firstBytes, offset, bytes))
  // boot code may begin with any three bytes: an MBR signature outweighs a compressor's magic
  if (found?.format === 'compressed' && holds(firstBytes, 510, '\x55\xaa')) return 'raw'
  return found?.format ?? 'raw'
}

/**
 * The format, if there is an encoding for it and the operator permits it. `gpt` counts as raw: with 21.4 a
 * bootable raw disk arrives with disk_format null (contract 5.3.6 [!]).
 * @param permitted config `permitted_image_formats`
 * Throws InvalidImage.
 */
export function requireWritable(format: ImageFormat, permitted: readonly string[]): WritableFormat {
  if (!isWritable(format)) throw laterFormat(format)
  const names = format === 'iso' ? ['iso'] : ['raw', 'gpt']
  if (names.some((name) => permitted.includes(name))) return format
  throw new AgentError(
    'InvalidImage',
    `the image is ${format}, permitted_image_formats has only ${permitted.join(', ')}`,
  )
}

/** The error for a format this agent does not write. */
export function laterFormat(format: string): AgentError {
  return new AgentError(
    'InvalidImage',
    `the image is ${format}; so far only raw whole-disk images are written. Convert it ` +
      '(qemu-img convert -O raw, or decompress it), or let Ironic do so (force_raw_images)',
  )
}

function isWritable(format: string): format is WritableFormat {
  return Object.hasOwn(ENCODINGS, format)
}

function holds(bytes: Uint8Array, offset: number, text: string): boolean {
  if (bytes.length < offset + text.length) return false
  return Buffer.from(bytes.subarray(offset, offset + text.length)).toString('latin1') === text
}
