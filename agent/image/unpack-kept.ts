// SPDX-License-Identifier: Apache-2.0
// Owns the way of a file that is kept on the disk, and proved, to the image that it holds. Until then no decoder has
// seen a byte of it. Does not fetch, nor make the disk bootable.
/// <reference lib="esnext.disposable" />
import { throwIfAborted } from '../core/deadline.ts'
import type { DiskRange, ImageReader } from '../core/extent.ts'
import { blockDeviceAt } from '../system/sysfs.ts'
import { SNIFFED_BYTES } from './formats/image-format.ts'
import { judgeProved, type NamedFormat } from './formats/judge-file.ts'
import { UNPACKERS, type UnpackedFormat } from './formats/unpackers.ts'
import type { DeployImageDeps } from './request/deploy-request.ts'
import { openUnpackTarget, type UnpackTargetRequest } from './unpack-target.ts'

export interface UnpackKeptRequest extends UnpackTargetRequest {
  readonly format: UnpackedFormat
  readonly namedFormat: NamedFormat
  /** Where it lies. */
  readonly kept: DiskRange
  /** Length of the file. */
  readonly fileBytes: number
  /** Reads the file, which is proved. */
  readonly read: ImageReader
}

/**
 * Resolves to the bytes of the image once all of them are on the disk or held back, and read back. Throws
 * InvalidImage for a file that does not hold a whole disk for which there is room, and what the target throws.
 */
export async function unpackKept(
  request: UnpackKeptRequest,
  deps: DeployImageDeps,
): Promise<number> {
  const { format, namedFormat, kept, fileBytes, window, device, progress } = request
  const beginning = { offset: 0, length: Math.min(SNIFFED_BYTES, fileBytes) }
  const firstBytes = await request.read(beginning)
  const permitted = deps.config.permitted_image_formats
  const virtualBytes = judgeProved(firstBytes, format, namedFormat, permitted)
  await using target = await openUnpackTarget(request, deps)
  const isBlockDevice = (await blockDeviceAt(deps.root, device.geometry.path)) !== undefined
  progress.begin('unpack', fileBytes)
  const imageBytes = await UNPACKERS[format]({
    read: countedReader(request.read, fileBytes, (bytes) => progress.add(bytes)),
    keptAt: { path: device.geometry.path, isBlockDevice, range: kept },
    fileBytes,
    virtualBytes,
    window,
    sink: target.sink,
    signal: target.signal,
  })
  throwIfAborted(request.signal)
  await target.finish(imageBytes)
  return imageBytes
}

/** Tables may be read twice: what is told never exceeds the file. */
function countedReader(
  read: ImageReader,
  fileBytes: number,
  onRead: (bytes: number) => void,
): ImageReader {
  let leftBytes = fileBytes
  return async (range, target) => {
    const bytes = await read(range, target)
    const counted = Math.min(leftBytes, range.length)
    leftBytes -= counted
    onRead(counted)
    return bytes
  }
}
