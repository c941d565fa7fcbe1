// SPDX-License-Identifier: Apache-2.0
// Owns a local file or device as the place an image comes from, for stand-alone use (Ironic never sends
// one: contract 5.3.1). Does not watch whether the file changes.
import { type FileHandle, open } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { throwIfAborted } from '../core/deadline.ts'
import { AgentError, messageOf } from '../core/errors.ts'
import { endOf, type FileRange, type ImageReader } from '../core/extent.ts'
import { roundDown } from '../core/units.ts'
import type { DeliverRequest, ImageSource } from './source.ts'

/** Writes in flight besides the read. */
const MAX_WRITES = 3

/**
 * A source that reads `path` (a plain path or a file:// url).
 * `deliver` rejects with ImageDownloadError when the file is missing, too short or unreadable.
 */
export function createFileSource(options: { readonly path: string }): ImageSource {
  return {
    name: 'file',
    deliver: (request) => deliver(options.path, request),
    stats: () => ({ peers: 0, uploadedBytes: 0 }),
    [Symbol.asyncDispose]: async () => {},
  }
}

/** The plain path of a path or file:// url. Throws ImageDownloadError for a url of another machine. */
export function pathOf(pathOrUrl: string): string {
  if (!pathOrUrl.startsWith('file:')) return pathOrUrl
  try {
    return fileURLToPath(pathOrUrl)
  } catch (error) {
    throw new AgentError('ImageDownloadError', `${pathOrUrl}: ${messageOf(error)}`, {
      kind: 'operator',
      cause: error,
    })
  }
}

/** At most `maxBytes` from the beginning. Throws ImageDownloadError. */
export async function readFirstOfFile(pathOrUrl: string, maxBytes: number): Promise<Uint8Array> {
  const path = pathOf(pathOrUrl)
  await using file = await openImage(path)
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(maxBytes), 0, maxBytes, 0)
    return buffer.subarray(0, bytesRead)
  } catch (error) {
    throw new AgentError('ImageDownloadError', `${path}: ${messageOf(error)}`, { cause: error })
  }
}

/** Parts of a file, in any order. `read` throws ImageDownloadError for bytes that the file has not. */
export interface FileReader extends AsyncDisposable {
  readonly read: ImageReader
}

/** Disposal closes the file. Throws ImageDownloadError. */
export async function openFileReader(pathOrUrl: string): Promise<FileReader> {
  const path = pathOf(pathOrUrl)
  const file = await openImage(path)
  return {
    read: async (range, target = new Uint8Array(range.length)) => {
      await readAll(file, path, range, target)
      return target
    },
    [Symbol.asyncDispose]: async () => await file.close(),
  }
}

async function deliver(pathOrUrl: string, request: DeliverRequest): Promise<void> {
  const path = pathOf(pathOrUrl)
  await using file = await openImage(path)
  const { size, isFile } = await file
    .stat()
    .then((stat) => ({ size: stat.size, isFile: stat.isFile() }))
  if (isFile && size !== request.totalBytes) {
    throw new AgentError(
      'ImageDownloadError',
      `${path} is ${size} bytes, the image is expected to be ${request.totalBytes} bytes`,
    )
  }
  const writes = new Set<Promise<void>>()
  let failure: { error: unknown } | undefined
  const write = (part: FileRange, bytes: Uint8Array, release: () => void) => {
    const done = request.sink
      .write({ offset: part.offset, data: bytes, from: 'file' })
      .catch((error) => {
        failure ??= { error }
      })
      .finally(() => {
        release()
        writes.delete(done)
      })
    writes.add(done)
  }
  try {
    for (const part of parts(request.coverage.missing(), request.pool.bufferBytes)) {
      throwIfAborted(request.signal)
      if (writes.size >= MAX_WRITES) await Promise.race(writes)
      if (failure) break
      const buffer = await request.pool.acquire(request.signal)
      // the place in the buffer follows the place on the disk, so that both are aligned
      const from = part.offset % request.pool.bufferBytes
      const bytes = buffer.bytes.subarray(from, from + part.length)
      await readAll(file, path, part, bytes).catch((error) => {
        buffer.release()
        throw error
      })
      write(part, bytes, () => buffer.release())
    }
  } finally {
    await Promise.all(writes)
  }
  if (failure) throw failure.error
}

/** The missing ranges, cut at multiples of the buffer size. */
function* parts(missing: readonly FileRange[], bufferBytes: number): Generator<FileRange> {
  for (const range of missing) {
    for (let at = range.offset; at < endOf(range); ) {
      const end = Math.min(roundDown(at, bufferBytes) + bufferBytes, endOf(range))
      yield { offset: at, length: end - at }
      at = end
    }
  }
}

async function openImage(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r')
  } catch (error) {
    throw new AgentError('ImageDownloadError', messageOf(error), { cause: error })
  }
}

async function readAll(
  file: FileHandle,
  path: string,
  part: FileRange,
  target: Uint8Array,
): Promise<void> {
  for (let done = 0; done < part.length; ) {
    const { bytesRead } = await file
      .read(target, done, part.length - done, part.offset + done)
      .catch((error) => {
        throw new AgentError('ImageDownloadError', `${path}: ${messageOf(error)}`, { cause: error })
      })
    if (bytesRead === 0) {
      throw new AgentError(
        'ImageDownloadError',
        `${path} ends at byte ${part.offset + done}, expected at least ${endOf(part)} bytes`,
      )
    }
    done += bytesRead
  }
}
