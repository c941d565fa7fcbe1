// SPDX-License-Identifier: Apache-2.0
// Owns the judgement of a file by its first bytes and by what it was named: written as it is, unpacked, or refused
// (contract 5.3.6). Does not know signatures (image-format.ts).
import { AgentError } from '../../core/errors.ts'
import { assertDecodable, firstFrameHeader } from './compressed/zstd-frame.ts'
import type { WritableFormat } from './encodings.ts'
import {
  allFormats,
  detectFormat,
  type ImageContent,
  type ImageFormat,
  isWritable,
  judgeFirstBytes,
  requirePermitted,
} from './image-format.ts'
import { judgeQcow2Header } from './qcow2/header.ts'
import { judgeQemuHeader } from './qemu/judge-header.ts'
import { type Container, isContainer, isInOrder, type UnpackedFormat } from './unpackers.ts'

/** A format that can be deployed. */
export type FileFormat = WritableFormat | UnpackedFormat

/** What an image was named; null where nothing was said. */
export interface NamedFormat {
  /** By disk_format. Compression is none: the conductor sends `raw` for a packed raw image. */
  readonly disk: WritableFormat | Container | null
  /** By the node's instance_info: how the image was packed where it was published. */
  readonly packing: UnpackedFormat | null
}

/**
 * The format of a file, by its first bytes, before or as soon as they are there. What is to be written as it is
 * must be of what was asked for. Throws InvalidImage that names what was found.
 * @param permitted config `permitted_image_formats`
 * @param content what the image has to be of
 */
export function judgeFile(
  firstBytes: Uint8Array,
  named: NamedFormat,
  permitted: readonly string[],
  content: ImageContent = 'whole disk',
): FileFormat {
  const found = detectFormat(firstBytes)
  requirePacking(found, named)
  // what is in it may be of any name
  if (isInOrder(found)) return found
  requireNamedContainer(found, named, "the image's first bytes show")
  if (isContainer(found)) return judgeContainer(found, firstBytes, named, permitted)
  return judgeFirstBytes(firstBytes, rawNameOf(named), permitted, content)
}

/**
 * What is packed must be packed as it is named. What is not may be named so all the same: a conductor that serves an image
 * itself (`image_download_source` local, `oci://`) has unpacked it, and leaves the word in instance_info.
 */
function requirePacking(found: ImageFormat, { packing }: NamedFormat): void {
  if (packing === null || found === packing || isWritable(found) || isContainer(found)) return
  throw new AgentError(
    'InvalidImage',
    `the image is said to be packed by ${packing}, but its first bytes show ${found}; name no packing, or that one ` +
      '(for a node instance_info.image_compression_type)',
  )
}

/** Throws InvalidImage for what is named a container and is none. */
function requireNamedContainer(found: ImageFormat, { disk }: NamedFormat, shown: string): void {
  if (disk === null || !isContainer(disk) || disk === found) return
  throw new AgentError('InvalidImage', `disk_format is ${disk}, but ${shown} ${found}`)
}

/** As strict as contract 5.3.6: permitted, named so or not at all, and nothing else at the same time. */
function judgeContainer(
  found: Container,
  firstBytes: Uint8Array,
  { disk }: NamedFormat,
  permitted: readonly string[],
): Container {
  if (disk !== null && disk !== found) {
    throw new AgentError(
      'InvalidImage',
      `the image is ${found}, although disk_format is ${disk}: say ` +
        `that it is ${found} (--format; for a node instance_info.image_disk_format)`,
    )
  }
  virtualBytesOf(found, firstBytes)
  const formats = allFormats(firstBytes)
  if (formats.length > 1) {
    throw new AgentError(
      'InvalidImage',
      `the image is ${formats.join(' and ')} at the same time; an image must be of one format: make it anew`,
    )
  }
  requirePermitted(found, permitted)
  return found
}

/** Null where the beginning of the file does not say. Throws InvalidImage for a header that is not to be deployed. */
function virtualBytesOf(format: Container, firstBytes: Uint8Array): number | null {
  if (format === 'qcow2') return judgeQcow2Header(firstBytes).virtualBytes
  return judgeQemuHeader(format, firstBytes).virtualBytes
}

/** What is in a container is raw: permission was given to the container. */
function rawNameOf({ disk }: NamedFormat): WritableFormat | null {
  return disk !== null && isContainer(disk) ? 'raw' : disk
}

/**
 * Judges the beginning of a file whose hash is proved, before a decoder sees it: what a server answered to the probe
 * may have been of another one. Resolves to the size that its header tells, bytes; null where it does not. Throws
 * InvalidImage for a file of another format than was planned, and what judgeFile throws.
 */
export function judgeProved(
  firstBytes: Uint8Array,
  planned: UnpackedFormat,
  named: NamedFormat,
  permitted: readonly string[],
): number | null {
  const found = judgeFile(firstBytes, named, permitted)
  if (found !== planned) {
    throw new AgentError(
      'InvalidImage',
      `the file is ${found}, although its server's answers to the first questions showed ${planned}: it serves two files`,
    )
  }
  return isContainer(planned) ? virtualBytesOf(planned, firstBytes) : null
}

/**
 * Judges what is packed in a file by its first bytes: a raw disk, or a container that is unpacked in its turn. Throws
 * InvalidImage that names what was found.
 * @param packing of the file
 */
export function judgePacked(
  firstBytes: Uint8Array,
  packing: UnpackedFormat,
  named: NamedFormat,
  permitted: readonly string[],
  content: ImageContent = 'whole disk',
): PackedContainer | null {
  const found = detectFormat(firstBytes)
  if (!isContainer(found)) {
    judgeUnpacked(firstBytes, packing, named, permitted, content)
    return null
  }
  judgeContainer(found, firstBytes, named, permitted)
  const virtualBytes = virtualBytesOf(found, firstBytes)
  if (virtualBytes !== null) return { format: found, virtualBytes }
  throw new AgentError(
    'InvalidImage',
    `what is packed in the ${packing} file is ${found}, whose header does not tell how large its disk is, so no place ` +
      `can be had for it: serve the ${found} as it is, or convert it (qemu-img convert -O raw, then zstd)`,
  )
}

/** A disk of its own that is packed in a file. */
export interface PackedContainer {
  readonly format: Container
  /** Of the disk in it, as its header says. */
  readonly virtualBytes: number
}

/**
 * Judges the disk that was unpacked by its first bytes, like one that came as it is. Throws InvalidImage.
 * @param format what it was unpacked from
 */
export function judgeUnpacked(
  firstBytes: Uint8Array,
  format: UnpackedFormat,
  named: NamedFormat,
  permitted: readonly string[],
  content: ImageContent = 'whole disk',
): void {
  const found = detectFormat(firstBytes)
  if (isContainer(format)) {
    if (!isWritable(found)) throw notRaw(format, found, 'convert the disk itself')
    judgeFirstBytes(firstBytes, 'raw', permitted, content)
    return
  }
  if (isContainer(found)) {
    throw notRaw(
      format,
      found,
      'let the agent reach one of the urls, where the first MiB of the file tells it',
    )
  }
  if (!isWritable(found)) throw notRaw(format, found, 'pack the disk itself once')
  requireNamedContainer(found, named, `what is packed in the ${format} file is`)
  judgeFirstBytes(firstBytes, rawNameOf(named), permitted, content)
}

function notRaw(format: UnpackedFormat, found: ImageFormat, advice: string): AgentError {
  return new AgentError(
    'InvalidImage',
    `what is packed in the ${format} file is ${found}, not a raw disk image: ${advice}, or serve a qcow2 as it is ` +
      '(qemu-img convert -O qcow2 -c packs it)',
  )
}

/**
 * The least that the unpacked image takes, bytes, as far as the beginning of the file says; 0 where it does not.
 * Throws InvalidImage for a header that cannot be unpacked.
 */
export function leastUnpackedBytes(format: UnpackedFormat, firstBytes: Uint8Array): number {
  if (isContainer(format)) return virtualBytesOf(format, firstBytes) ?? 0
  if (format !== 'zstd') return 0
  const header = firstFrameHeader(firstBytes)
  if (header) assertDecodable(header)
  return header?.contentBytes ?? 0
}
