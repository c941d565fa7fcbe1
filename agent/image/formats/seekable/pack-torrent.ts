// SPDX-License-Identifier: Apache-2.0
// Owns making a file for the swarm of a raw image, and the torrent of it: the file has its name once it is whole and
// hashed. Does not write the .torrent.
/// <reference lib="esnext.disposable" />
import type { FileHandle } from 'node:fs/promises'
import { basename } from 'node:path'
import { AgentError } from '../../../core/errors.ts'
import type { ImageReader } from '../../../core/extent.ts'
import { type BlockDevice, openBlockDevice } from '../../../disk/block-device.ts'
import {
  type CreateTorrentOptions,
  createTorrent,
  defaultPieceLength,
  requirePieceLength,
} from '../../../sources/swarm/torrent/create-torrent.ts'
import { fillNewFile, type NewFile } from '../../../system/new-file.ts'
import type { Root } from '../../../system/root.ts'
import { detectFormat, isWritable, SNIFFED_BYTES } from '../image-format.ts'
import { estimatePackedBytes, packImage, type ReadRaw } from './pack-image.ts'

export interface PackTorrentOptions
  extends Pick<CreateTorrentOptions, 'pieceLength' | 'trackers' | 'webSeeds'> {
  /** A file or block device. */
  readonly path: string
  /** Bytes of the image; all of the file or device if left out. */
  readonly imageBytes: number | undefined
  /** The packed file. */
  readonly file: NewFile
  readonly signal: AbortSignal
  /** Work of `totalBytes` begins: bytes of the image are packed, then bytes of the file hashed. */
  onStep(step: 'pack' | 'hash', totalBytes: number): void
  onProgress(doneBytes: number): void
}

/**
 * Packs the image and returns the torrent of the packed file. Throws InvalidCommandParamsError for an image that is
 * packed already, and as fillNewFile does; what openBlockDevice and createTorrent throw; CancelledError.
 */
export async function packTorrent(
  root: Root,
  options: PackTorrentOptions,
): Promise<Awaited<ReturnType<typeof createTorrent>> & { readonly imageBytes: number }> {
  const { path, file, signal } = options
  await using device = await openBlockDevice(path, { mode: 'read', root })
  const imageBytes = options.imageBytes ?? device.geometry.sizeBytes
  await requireRaw(device, path, imageBytes)
  const read: ReadRaw = ({ offset }, target) => device.read(offset, target)
  options.onStep('pack', imageBytes)
  const estimatedBytes = await estimatePackedBytes(read, imageBytes)
  const pieceLength = options.pieceLength ?? defaultPieceLength(estimatedBytes)
  requirePieceLength(pieceLength)
  return await fillNewFile(root, file, async (handle) => {
    const lengthBytes = await packImage({
      ...{ read, imageBytes, pieceLength, signal },
      write: (bytes) => handle.writeFile(bytes),
      onProgress: options.onProgress,
    })
    options.onStep('hash', lengthBytes)
    const made = await createTorrent({
      ...options,
      image: { read: readerOf(handle), name: basename(file.path) },
      ...{ lengthBytes, pieceLength },
    })
    return { ...made, imageBytes }
  })
}

async function requireRaw(device: BlockDevice, path: string, imageBytes: number): Promise<void> {
  if (imageBytes <= 0 || imageBytes > device.geometry.sizeBytes) {
    throw new AgentError(
      'InvalidCommandParamsError',
      `${path} has ${device.geometry.sizeBytes} bytes, ${imageBytes} were asked for; check --path and --length`,
    )
  }
  const firstBytes = new Uint8Array(Math.min(SNIFFED_BYTES, imageBytes))
  await device.read(0, firstBytes)
  const format = detectFormat(firstBytes)
  if (isWritable(format)) return
  throw new AgentError(
    'InvalidCommandParamsError',
    `${path} is ${format}; --zstd packs raw images: make one first (qemu-img convert -O raw, or unpack it), or make ` +
      'a torrent of the file as it is, without --zstd',
  )
}

/** Pieces come in order: memory of one length serves all. */
function readerOf(handle: FileHandle): ImageReader {
  let buffer = Buffer.alloc(0)
  return async ({ offset, length }) => {
    if (buffer.length < length) buffer = Buffer.alloc(length)
    const { bytesRead } = await handle.read(buffer, 0, length, offset)
    return buffer.subarray(0, bytesRead)
  }
}
