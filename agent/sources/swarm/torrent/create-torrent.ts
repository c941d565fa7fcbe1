// SPDX-License-Identifier: Apache-2.0
// Owns making a torrent from an image: piece length, hashes, envelope. Reads the image once, a piece at
// a time. Does not write the .torrent anywhere.
import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { throwIfAborted } from '../../../core/deadline.ts'
import { AgentError } from '../../../core/errors.ts'
import type { ImageReader } from '../../../core/extent.ts'
import { formatBytes, KiB, MiB } from '../../../core/units.ts'
import { openFileReader } from '../../file.ts'
import {
  encodeInfo,
  encodeMetainfo,
  HASH_BYTES,
  MAX_PIECE_BYTES,
  MAX_PIECES,
  type Metainfo,
  parseMetainfo,
} from './metainfo.ts'
import { BLOCK_BYTES, pieceRange } from './piece-layout.ts'
import { mergeTrackers, type TrackerList } from './trackers.ts'

export interface CreateTorrentOptions {
  /** A file or block device, or anything that reads ranges. */
  readonly image: { readonly path: string } | { readonly read: ImageReader; readonly name: string }
  readonly lengthBytes: number
  /** Multiple of 16 KiB up to 16 MiB; chosen by length unless given. */
  readonly pieceLength?: number | undefined
  readonly trackers?: TrackerList | undefined
  /** BEP 19 urls of the image. */
  readonly webSeeds?: readonly string[] | undefined
  /** BEP 27: peers come from the trackers alone. */
  readonly isPrivate?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  onProgress?(doneBytes: number, totalBytes: number): void
}

/** Of 90 nodes each owns 30 or so; with 768 of 4 MiB a swarm of 90 takes half as long again (docs/benchmarks.md). */
const WANTED_PIECES = 3072

/**
 * The piece length for an image: 1536 to 3072 pieces, but none below 256 KiB (messages cost more than
 * bytes there) and none above 4 MiB (memory does); beyond 64 Ki pieces as large as it takes.
 */
export function defaultPieceLength(lengthBytes: number): number {
  const wanted = Math.min(lengthBytes / WANTED_PIECES, 4 * MiB)
  let pieceLength = 256 * KiB
  while (pieceLength < wanted || lengthBytes / pieceLength > 64 * KiB) pieceLength *= 2
  return Math.min(pieceLength, MAX_PIECE_BYTES)
}

/**
 * Hashes the image and returns the .torrent with its parsed form.
 * Throws InvalidConfigError for a piece length or image size no torrent of ours may have, ImageDownloadError
 * if the image cannot be read or ends early, CancelledError.
 */
export async function createTorrent(
  options: CreateTorrentOptions,
): Promise<{ torrentFile: Uint8Array; metainfo: Metainfo }> {
  const { image, lengthBytes } = options
  const pieceLength = options.pieceLength ?? defaultPieceLength(lengthBytes)
  const pieceCount = checkShape(lengthBytes, pieceLength)
  const layout = { pieceCount, pieceLength, lengthBytes }
  const pieces = new Uint8Array(pieceCount * HASH_BYTES)
  await using reader = await openReader(image)
  for (let piece = 0; piece < pieceCount; piece++) {
    throwIfAborted(options.signal)
    const range = pieceRange(layout, piece)
    const bytes = await reader.read(range)
    if (bytes.length !== range.length) throw endedEarly(range.offset + bytes.length, lengthBytes)
    pieces.set(createHash('sha1').update(bytes).digest(), piece * HASH_BYTES)
    options.onProgress?.(range.offset + range.length, lengthBytes)
  }
  const name = 'path' in image ? basename(image.path) : image.name
  const isPrivate = options.isPrivate ?? false
  const info = encodeInfo({ name, lengthBytes, pieceLength, pieces, isPrivate })
  const torrentFile = encodeMetainfo(info, {
    trackers: mergeTrackers(options.trackers),
    webSeeds: options.webSeeds ?? [],
    createdBy: 'ironswarm',
  })
  return { torrentFile, metainfo: parseMetainfo(torrentFile) }
}

function checkShape(lengthBytes: number, pieceLength: number): number {
  if (lengthBytes <= 0) {
    throw new AgentError('InvalidConfigError', 'an empty image has no torrent; check the path')
  }
  requirePieceLength(pieceLength)
  const pieceCount = Math.ceil(lengthBytes / pieceLength)
  if (pieceCount > MAX_PIECES) {
    throw new AgentError(
      'InvalidConfigError',
      `${pieceCount} pieces of ${formatBytes(pieceLength)}: choose a longer piece length, ` +
        `at most ${MAX_PIECES} pieces`,
    )
  }
  return pieceCount
}

/** Throws InvalidConfigError for a piece length that no torrent of ours may have. */
export function requirePieceLength(pieceLength: number): void {
  const isSound =
    Number.isInteger(pieceLength / BLOCK_BYTES) && pieceLength > 0 && pieceLength <= MAX_PIECE_BYTES
  if (isSound) return
  throw new AgentError(
    'InvalidConfigError',
    `piece length ${pieceLength}: choose a multiple of 16 KiB up to ${formatBytes(MAX_PIECE_BYTES)}`,
  )
}

interface PieceSource extends AsyncDisposable {
  read(range: { readonly offset: number; readonly length: number }): Promise<Uint8Array>
}

async function openReader(image: CreateTorrentOptions['image']): Promise<PieceSource> {
  if ('read' in image) {
    return { read: image.read, [Symbol.asyncDispose]: () => Promise.resolve() }
  }
  const file = await openFileReader(image.path)
  let buffer = Buffer.alloc(0)
  return {
    read: async (range) => {
      // one buffer for all pieces: a fresh one each would be garbage of the size of the image
      if (buffer.length < range.length) buffer = Buffer.alloc(range.length)
      return await file.read(range, buffer.subarray(0, range.length))
    },
    [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
  }
}

function endedEarly(at: number, lengthBytes: number): AgentError {
  return new AgentError(
    'ImageDownloadError',
    `the image ends at byte ${at}, ${lengthBytes} were expected`,
  )
}
