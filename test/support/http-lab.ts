// SPDX-License-Identifier: Apache-2.0
// Owns the other half of an HTTP test: a memory that takes extents, settings without long waits, a log
// that can be read.
import { createHash, getRandomValues } from 'node:crypto'
import { Coverage } from '../../agent/core/coverage.ts'
import type { BufferPool, FileExtent, FileRange } from '../../agent/core/extent.ts'
import { createAlignedPool } from '../../agent/disk/aligned-pool.ts'
import type { HttpClient, HttpClientSettings } from '../../agent/http/client.ts'
import type { HttpImageOptions } from '../../agent/sources/http/image-options.ts'
import type { DeliverRequest } from '../../agent/sources/source.ts'
import { createLogger } from '../../agent/telemetry/logger.ts'

/** Bytes that no two offsets share by accident. */
export function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at += 65536) {
    getRandomValues(bytes.subarray(at, Math.min(at + 65536, length)))
  }
  return bytes
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

export interface MemoryDisk {
  readonly bytes: Uint8Array
  readonly coverage: Coverage
  /** Extents as they came, without their data. */
  readonly writes: readonly FileRange[]
  /** The most writes that were in flight at a time. */
  readonly peakWrites: number
  /** A request to fill this disk. */
  request(overrides?: Partial<DeliverRequest>): DeliverRequest
}

export interface MemoryDiskOptions {
  readonly pool?: BufferPool
  /** Runs before each write: wait or throw here. */
  readonly onWrite?: (extent: FileExtent) => Promise<void>
  /** What is on the disk already, taken from here. */
  readonly held?: { readonly image: Uint8Array; readonly ranges: readonly FileRange[] }
}

/** Stands for the disk: the sink of a delivery. */
export function createMemoryDisk(totalBytes: number, options: MemoryDiskOptions = {}): MemoryDisk {
  const bytes = new Uint8Array(totalBytes)
  const coverage = new Coverage(totalBytes)
  const writes: FileRange[] = []
  const count = { now: 0, peak: 0 }
  for (const range of options.held?.ranges ?? []) {
    const end = range.offset + range.length
    bytes.set(
      (options.held as { image: Uint8Array }).image.subarray(range.offset, end),
      range.offset,
    )
    coverage.add(range)
  }
  const pool = options.pool ?? createAlignedPool({ bufferBytes: 256 * 1024, count: 4 })
  return {
    bytes,
    coverage,
    writes,
    get peakWrites() {
      return count.peak
    },
    request: (overrides = {}) => ({
      totalBytes,
      coverage,
      pool,
      sink: {
        write: async (extent) => {
          count.peak = Math.max(count.peak, ++count.now)
          try {
            await options.onWrite?.(extent)
            bytes.set(extent.data, extent.offset)
            const range = { offset: extent.offset, length: extent.data.length }
            writes.push(range)
            coverage.add(range)
          } finally {
            count.now--
          }
        },
      },
      withdraw: (range) => coverage.remove(range),
      readImage: async () => new Uint8Array(0),
      signal: new AbortController().signal,
      ...overrides,
    }),
  }
}

/** Settings of a client that trusts what it always trusts. */
export const PLAIN_CLIENT: HttpClientSettings = {
  insecure: false,
  cafile: null,
  certfile: null,
  keyfile: null,
  tls_min_version: '1.2',
  image_download_connection_timeout: 10,
}

export interface TestImageOptions extends HttpImageOptions {
  /** Everything that was logged. */
  readonly logged: () => string
}

/** Options with short waits; `settings` are those of contract 1.2 without their common prefix. */
export function imageOptions(
  client: HttpClient,
  urls: readonly string[],
  settings: {
    retries?: number
    retryIntervalSeconds?: number
    timeoutSeconds?: number
    lowSpeed?: { bytesPerSecond: number; seconds: number }
    authorization?: string
  } = {},
): TestImageOptions {
  const lines: string[] = []
  return {
    urls,
    client,
    authorization: settings.authorization
      ? { header: settings.authorization, server: urls[0] ?? '' }
      : undefined,
    config: {
      image_download_connection_timeout: settings.timeoutSeconds ?? 10,
      image_download_connection_retries: settings.retries ?? 3,
      image_download_connection_retry_interval: settings.retryIntervalSeconds ?? 0.01,
      image_download_low_speed_limit: settings.lowSpeed?.bytesPerSecond ?? 1024,
      image_download_low_speed_time: settings.lowSpeed?.seconds ?? 60,
    },
    random: () => 0.5,
    log: createLogger({ level: 'debug', destination: { write: (line) => void lines.push(line) } }),
    logged: () => lines.join(''),
  }
}
