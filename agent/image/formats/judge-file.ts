// SPDX-License-Identifier: Apache-2.0
// Owns the judgement of a file by its first bytes and by what it was named: written as it is, unpacked, or refused
// (contract 5.3.6). Does not know signatures (image-format.ts).
import { AgentError } from '../../core/errors.ts'
import { firstFrameHeader } from './compressed/zstd-frame.ts'
import type { WritableFormat } from './encodings.ts'
import {
  detectFormat,
  type ImageContent,
  isWritable,
  judgeFirstBytes,
  laterFormat,
} from './image-format.ts'
import { isUnpacked, type UnpackedFormat } from './unpackers.ts'

/** A format that can be deployed. */
export type FileFormat = WritableFormat | UnpackedFormat

/** What an image was named; null where nothing was said. */
export interface NamedFormat {
  /** By disk_format. Compression is none: the conductor sends `raw` for a packed raw image. */
  readonly disk: WritableFormat | null
  /** By the node's instance_info. */
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
  if (named.packing !== null && found !== named.packing) {
    throw new AgentError(
      'InvalidImage',
      `the node's instance_info says that the image is packed by ${named.packing}, but its first bytes show ${found}`,
    )
  }
  return isUnpacked(found) ? found : judgeFirstBytes(firstBytes, named.disk, permitted, content)
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
  if (!isWritable(found)) {
    const error = laterFormat(found)
    throw new AgentError(
      'InvalidImage',
      `what is packed in the ${format} file is ${found}, not a raw disk image: ${error.details}`,
    )
  }
  judgeFirstBytes(firstBytes, named.disk, permitted, content)
}

/**
 * The least that the unpacked image takes, bytes, as far as the beginning of the file says; 0 where it does not.
 * Throws InvalidImage for a header that cannot be unpacked.
 */
export function leastUnpackedBytes(format: UnpackedFormat, firstBytes: Uint8Array): number {
  return format === 'zstd' ? (firstFrameHeader(firstBytes)?.contentBytes ?? 0) : 0
}
