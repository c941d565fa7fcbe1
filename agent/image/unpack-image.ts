// SPDX-License-Identifier: Apache-2.0
// Owns the way of a file that is kept on the disk, and proved, to the image that it holds: unpacked, written,
// read back. Until then no decoder has seen a byte of it. Does not fetch, nor make the disk bootable.
/// <reference lib="esnext.disposable" />
import { throwIfAborted } from '../core/deadline.ts'
import type { ImageReader } from '../core/extent.ts'
import type { BlockDevice } from '../disk/block-device.ts'
import { blockDeviceAt } from '../system/sysfs.ts'
import type { ProgressMeter } from '../telemetry/progress-meter.ts'
import { type ImageContent, SNIFFED_BYTES } from './formats/image-format.ts'
import { judgeProved, judgeUnpacked, type NamedFormat } from './formats/judge-file.ts'
import { UNPACKERS } from './formats/unpackers.ts'
import type { PlannedUnpacking } from './plan/plan.ts'
import { createUnpackedProof } from './proof/unpacked-proof.ts'
import type { DeployImageDeps } from './request/deploy-request.ts'
import type { ImageOnDisk } from './transfer/image-on-disk.ts'
import { writeTo } from './transfer/sinks.ts'
import { createUnpackSink, judgeBeginning } from './transfer/unpack-sink.ts'
import { createZeroWriter } from './transfer/zeroes.ts'

export interface UnpackImageRequest {
  readonly unpacking: PlannedUnpacking
  readonly namedFormat: NamedFormat
  readonly content: ImageContent
  /** Length of the file. */
  readonly fileBytes: number
  /** Has the file, proved, and takes what of the image is held back. */
  readonly image: ImageOnDisk
  readonly device: BlockDevice
  /** After it nothing is read from the page cache. */
  readonly dropCache: () => Promise<void>
  /** Read the beginning back while the rest is unpacked. */
  readonly isTrailing: boolean
  readonly progress: ProgressMeter
  readonly signal: AbortSignal
}

/**
 * Resolves to the bytes of the image once all of them are on the disk or held back, and read back. Throws
 * InvalidImage for a file that does not hold a whole disk for which there is room, ReadBackMismatchError,
 * ImageWriteError, BlockDeviceError.
 */
export async function unpackImage(
  request: UnpackImageRequest,
  { exec, root, log, config }: DeployImageDeps,
): Promise<number> {
  const { unpacking, namedFormat, content, fileBytes, image, device, progress } = request
  const { format, window } = unpacking
  const beginning = { offset: 0, length: Math.min(SNIFFED_BYTES, fileBytes) }
  const firstBytes = await image.read(beginning)
  const virtualBytes = judgeProved(firstBytes, format, namedFormat, config.permitted_image_formats)
  // whatever fails ends what still reads and decodes
  const ending = new AbortController()
  const signal = AbortSignal.any([request.signal, ending.signal])
  await using proof = createUnpackedProof({ ...request, signal })
  const zeroes = await createZeroWriter(device, { exec, root, log, signal })
  const placed = createUnpackSink({
    window,
    held: image.held,
    toDisk: proof.sinkTo(writeTo(device)),
    zeroes,
    onZeroed: proof.zeroed,
  })
  const sink = judgeBeginning(placed, window, (firstBytes) =>
    judgeUnpacked(firstBytes, format, namedFormat, config.permitted_image_formats, content),
  )
  const isBlockDevice = (await blockDeviceAt(root, device.geometry.path)) !== undefined
  progress.begin('unpack', fileBytes)
  const read = countedReader(image.read, fileBytes, (bytes) => progress.add(bytes))
  try {
    const imageBytes = await UNPACKERS[format]({
      read,
      keptAt: { path: device.geometry.path, isBlockDevice, range: unpacking.kept },
      fileBytes,
      virtualBytes,
      window,
      sink,
      signal,
    })
    await sink.finish()
    throwIfAborted(request.signal)
    await device.sync()
    await request.dropCache()
    progress.begin('read-back', proof.totalBytes, proof.doneBytes)
    await proof.finish((bytes) => progress.add(bytes))
    return imageBytes
  } finally {
    ending.abort()
  }
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
