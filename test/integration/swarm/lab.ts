// SPDX-License-Identifier: Apache-2.0
// Owns a swarm on loopback for tests: image, torrent, trackers, nodes with a memory disk each. Nodes run
// the real source with its worker thread and real sockets.
import { createHash } from 'node:crypto'
import type { Socket as UdpSocket } from 'node:dgram'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { Server as Tracker } from 'bittorrent-tracker'
import { OPTIONS } from '../../../agent/config/options.ts'
import { Coverage } from '../../../agent/core/coverage.ts'
import type { ByteRange } from '../../../agent/core/extent.ts'
import { createAlignedPool } from '../../../agent/disk/aligned-pool.ts'
import type { TlsSettings } from '../../../agent/http/tls.ts'
import type { DeliverRequest } from '../../../agent/sources/source.ts'
import { createSwarmSource, type SwarmSource } from '../../../agent/sources/swarm/swarm-source.ts'
import type {
  Nearby,
  OriginOptions,
  SwarmLimits,
  SwarmTask,
} from '../../../agent/sources/swarm/swarm-task.ts'
import {
  type ArenaBudget,
  createArenaBudget,
} from '../../../agent/sources/swarm/thread/arena-budget.ts'
import {
  createWorkerStarter,
  type StartWorker,
  SWARM_WORKER,
} from '../../../agent/sources/swarm/thread/worker-host.ts'
import {
  type CreateTorrentOptions,
  createTorrent,
} from '../../../agent/sources/swarm/torrent/create-torrent.ts'
import type { Metainfo } from '../../../agent/sources/swarm/torrent/metainfo.ts'
import { mergeTrackers } from '../../../agent/sources/swarm/torrent/trackers.ts'
import { logEvents } from '../../../agent/telemetry/event-log.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { type RecordedStream, recordedStream } from '../../support/event-lab.ts'
import { BUNDLED_SWARM_WORKER } from '../../support/under-test.ts'

export const MiB = 1024 * 1024

/** Reproducible bytes that do not repeat. */
export function imageBytes(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length)
  const words = new Uint32Array(bytes.buffer, 0, Math.floor(length / 4))
  let x = seed >>> 0 || 1
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    words[i] = x
  }
  return bytes
}

export async function torrentOf(
  image: Uint8Array,
  options: Partial<CreateTorrentOptions> = {},
): Promise<{ torrentFile: Uint8Array; metainfo: Metainfo }> {
  return await createTorrent({
    image: { name: 'image.raw', read: async ({ offset, length }) => cut(image, offset, length) },
    lengthBytes: image.length,
    pieceLength: 64 * 1024,
    ...options,
  })
}

function cut(image: Uint8Array, offset: number, length: number): Uint8Array {
  return image.subarray(offset, offset + length)
}

export interface TestTracker extends AsyncDisposable {
  readonly url: string
  /** How often each event came: `started`, `update`, `completed`, `stopped`. */
  readonly events: Map<string, number>
}

export async function startTracker(
  options: { udp?: boolean; port?: number } = {},
): Promise<TestTracker> {
  const isUdp = options.udp ?? false
  const tracker = new Tracker({ udp: isUdp, http: !isUdp, ws: false, stats: false })
  const events = new Map<string, number>()
  for (const event of ['start', 'update', 'complete', 'stop'] as const) {
    tracker.on(event, () => events.set(event, (events.get(event) ?? 0) + 1))
  }
  tracker.on('warning', () => undefined)
  // on one address of IPv4 its IPv6 socket would not bind
  const host = isUdp ? (undefined as unknown as string) : '127.0.0.1'
  await new Promise<void>((resolve) => tracker.listen(options.port ?? 0, host, resolve))
  // the types of this package know no UDP side
  const udp = (tracker as unknown as { udp4: UdpSocket }).udp4
  const { port } = (isUdp ? udp.address() : tracker.http.address()) as AddressInfo
  return {
    url: `${isUdp ? 'udp' : 'http'}://127.0.0.1:${port}/announce`,
    events,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        if (!isUdp) tracker.http.closeAllConnections()
        tracker.close(() => resolve())
      }),
  }
}

/** A TCP server whose connections `onSocket` owns; for trackers and origins that misbehave. */
export async function startServer(
  onSocket: (socket: Socket) => void,
): Promise<{ readonly port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    onSocket(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as { port: number }).port,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resolve())
      }),
  }
}

export interface TaskOptions {
  readonly metainfo: Metainfo
  readonly trackers?: readonly string[]
  readonly originUrls?: readonly string[]
  readonly mode?: 'auto' | 'require'
  readonly limits?: Partial<SwarmLimits>
  readonly nearby?: Nearby
  /** TLS of trackers. */
  readonly http?: Partial<TlsSettings>
}

export interface NodeOptions extends TaskOptions {
  readonly laterRack?: Promise<string>
  /** The agent's default, of its own, unless given. */
  readonly memory?: ArenaBudget
  /** Bytes that another source has written already. */
  readonly onDisk?: { readonly range: ByteRange; readonly bytes: Uint8Array }
  readonly signal?: AbortSignal
  /** Called with each extent before it counts as written. */
  readonly onWrite?: (range: ByteRange) => Promise<void> | void
  readonly onLog?: (line: string) => void
  /** The agent's own unless given. */
  readonly startWorker?: StartWorker
}

export interface TestNode extends AsyncDisposable {
  readonly source: SwarmSource
  readonly events: RecordedStream
  readonly disk: Uint8Array
  readonly coverage: Coverage
  /** Bytes written, so that nothing is written twice. */
  writtenBytes(): number
  /** Settles with the delivery. */
  readonly delivered: Promise<void>
}

export const TLS: TlsSettings = {
  insecure: false,
  cafile: null,
  certfile: null,
  keyfile: null,
  tls_min_version: '1.2',
}
const HTTP_SETTINGS = {
  image_download_connection_timeout: 10,
  image_download_connection_retries: 2,
  image_download_connection_retry_interval: 1,
  image_download_low_speed_limit: 1024,
  image_download_low_speed_time: 60,
  ...TLS,
} satisfies OriginOptions['config']

const NO_LIMITS: SwarmLimits = {
  uploadLimit: 0,
  downloadLimit: 0,
  stallTimeoutMs: 30_000,
  canWaitForPeers: false,
  seedTimeMs: 0,
  seedRatio: 0,
}

/** What a node is to do; it finds others by trackers alone unless told otherwise. */
export function taskOf(options: TaskOptions): SwarmTask {
  const { metainfo, originUrls } = options
  return {
    torrent: { metainfo, trackers: mergeTrackers(options.trackers, metainfo.trackers) },
    node: { listenPort: 0, nearby: options.nearby ?? { lsd: 'off', rack: null } },
    origin: originUrls && { urls: originUrls, config: HTTP_SETTINGS },
    http: { ...TLS, ...options.http },
    limits: { ...NO_LIMITS, canWaitForPeers: options.mode === 'require', ...options.limits },
  }
}

/** The worker of the sources, or of the ramdisk's bundle. */
export const startWorkerUnderTest = createWorkerStarter({
  ...SWARM_WORKER,
  script: BUNDLED_SWARM_WORKER ?? SWARM_WORKER.script,
})

/** Starts a node; it seeds until it is disposed of. */
export function startNode(options: NodeOptions): TestNode {
  const { metainfo } = options
  const disk = new Uint8Array(metainfo.lengthBytes)
  const coverage = new Coverage(metainfo.lengthBytes)
  if (options.onDisk) {
    disk.set(options.onDisk.bytes, options.onDisk.range.offset)
    coverage.add(options.onDisk.range)
  }
  let writtenBytes = 0
  const log = createLogger({
    level: 'debug',
    destination: { write: options.onLog ?? (() => undefined) },
  })
  const events = recordedStream()
  logEvents(events, log)
  const source = createSwarmSource(taskOf(options), {
    laterRack: options.laterRack,
    memory: options.memory ?? createArenaBudget(OPTIONS.swarm_memory.default),
    startWorker: options.startWorker ?? startWorkerUnderTest,
    log,
    events,
  })
  const request: DeliverRequest = {
    totalBytes: metainfo.lengthBytes,
    coverage,
    pool: createAlignedPool({ bufferBytes: MiB, count: 4 }),
    signal: options.signal ?? new AbortController().signal,
    readImage: ({ offset, length }) => {
      if (!coverage.has({ offset, length })) return Promise.reject(new Error('not on the disk'))
      return Promise.resolve(cut(disk, offset, length))
    },
    withdraw: (range) => coverage.remove(range),
    sink: {
      write: async ({ offset, data }) => {
        const range = { offset, length: data.length }
        await options.onWrite?.(range)
        disk.set(data, offset)
        coverage.add(range)
        writtenBytes += data.length
      },
    },
  }
  const delivered = source.deliver(request)
  delivered.catch(() => undefined)
  return {
    source,
    events,
    disk,
    coverage,
    writtenBytes: () => writtenBytes,
    delivered,
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Waits until `check` holds; the limit is for a broken program, not a measure. */
export async function until(check: () => boolean, what: string, limitMs = 55_000): Promise<void> {
  const endsAt = Date.now() + limitMs
  while (!check()) {
    if (Date.now() > endsAt) throw new Error(`not within ${limitMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
