// SPDX-License-Identifier: Apache-2.0
// Owns what deploy tests share: an image, its origin, a loop device, and writeImage with impatient
// settings. Also asks the machine whether anything still holds a device.
import { randomBytes } from 'node:crypto'
import { mkdtemp, open, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Config, OPTIONS } from '../../../agent/config/options.ts'
import type { Progress } from '../../../agent/core/events.ts'
import type { JsonObject } from '../../../agent/core/json.ts'
import { writeImage } from '../../../agent/deploy/write-image.ts'
import { parseWriteRequest, withNode } from '../../../agent/deploy/write-request.ts'
import type { DeployedImage } from '../../../agent/image/deploy-image.ts'
import { createSeeder, type Seeder } from '../../../agent/sources/swarm/seeder.ts'
import { createArenaBudget } from '../../../agent/sources/swarm/thread/arena-budget.ts'
import { startSwarmWorker } from '../../../agent/sources/swarm/thread/worker-host.ts'
import { createTorrent } from '../../../agent/sources/swarm/torrent/create-torrent.ts'
import type { Metainfo } from '../../../agent/sources/swarm/torrent/metainfo.ts'
import { exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { logEvents } from '../../../agent/telemetry/event-log.ts'
import { createLogger, type Logger } from '../../../agent/telemetry/logger.ts'
import { type DiskImage, describeImage, makeDiskImage } from '../../support/disk-image.ts'
import { progressTo, recordedStream } from '../../support/event-lab.ts'
import {
  createHttpOrigin,
  type HttpOrigin,
  type HttpOriginOptions,
} from '../../support/http-origin.ts'
import {
  createLoopDevice,
  type LoopDevice,
  type LoopDeviceOptions,
} from '../../support/loop-device.ts'
import { taskOf } from '../swarm/lab.ts'

export const MiB = 1024 * 1024

/** Failures are reported in seconds instead of minutes. */
const IMPATIENT: Partial<Config> = {
  image_download_connection_timeout: 2,
  image_download_connection_retries: 3,
  image_download_connection_retry_interval: 0.2,
  swarm_stall_timeout: 10,
  swarm_lsd: 'off', // nothing leaves this machine
}

export function testConfig(settings: Partial<Config> = {}): Config {
  const defaults = Object.fromEntries(
    Object.entries(OPTIONS).map(([name, row]) => [name, row.default]),
  )
  return { ...(defaults as unknown as Config), ...IMPATIENT, ...settings }
}

export interface DeployTestOptions {
  readonly config?: Partial<Config>
  readonly configdrive?: string | null
  readonly node?: JsonObject
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: Progress) => void
  /** Takes the agent's log, one JSON object per line. */
  readonly onLog?: (line: string) => void
}

/** writeImage as the agent calls it, with image_info as Ironic sends it. */
export async function deployTo(
  devicePath: string,
  imageInfo: JsonObject,
  options: DeployTestOptions = {},
): Promise<DeployedImage> {
  const config = testConfig(options.config)
  const log = testLogger(options.onLog)
  const events = progressTo(options.onProgress ?? (() => undefined))
  using _eventLog = logEvents(events, log)
  return await writeImage(
    {
      ...withNode(parseWriteRequest(imageInfo, options.configdrive, config), options.node, config),
      devicePath,
      signal: options.signal ?? new AbortController().signal,
      events,
    },
    {
      config,
      exec,
      root: createRoot('/'),
      log,
      random: Math.random,
      swarmMemory: createArenaBudget(config.swarm_memory),
      now: () => performance.now(),
    },
  )
}

export function testLogger(onLog: (line: string) => void = () => undefined): Logger {
  return createLogger({ level: 'debug', destination: { write: onLog } })
}

export interface DeployLab extends AsyncDisposable {
  readonly folder: string
  readonly image: DiskImage
  readonly origin: HttpOrigin
  readonly disk: LoopDevice
  /** image_info as a conductor sends it for the image. */
  imageInfo(fields?: JsonObject): JsonObject
}

export interface DeployLabOptions {
  readonly imageBytes?: number
  readonly table?: 'gpt' | 'mbr'
  /** Taken off the image's end. */
  readonly cutBytes?: number
  readonly disk?: Partial<LoopDeviceOptions>
  readonly origin?: Partial<HttpOriginOptions>
}

/** Image, origin and disk. An old system is on the disk, so that its erasure shows. */
export async function createDeployLab(options: DeployLabOptions = {}): Promise<DeployLab> {
  const stack: AsyncDisposable[] = []
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-deploy-'))
  stack.push({ [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) })
  const close = async () => {
    for (const part of stack.reverse()) await part[Symbol.asyncDispose]()
  }
  try {
    const sizeBytes = options.imageBytes ?? 16 * MiB
    const image = await makeImage(join(folder, 'image.raw'), sizeBytes, options)
    const origin = await createHttpOrigin({ path: image.path, ...options.origin })
    stack.push(origin)
    const disk = await createLoopDevice({ sizeBytes: sizeBytes + 80 * MiB, ...options.disk })
    stack.push(disk)
    await makeOldSystem(disk.path)
    return {
      folder,
      image,
      origin,
      disk,
      imageInfo: (fields = {}) => ({ ...imageInfoOf('image.raw', image, origin.url), ...fields }),
      [Symbol.asyncDispose]: close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** What conductor 21.4 sends for any raw image. */
export function imageInfoOf(id: string, { sha256 }: DiskImage, url: string): JsonObject {
  return {
    id,
    urls: [url],
    disk_format: 'raw',
    container_format: null,
    stream_raw_images: true,
    os_hash_algo: 'sha256',
    os_hash_value: sha256,
    node_uuid: '11111111-2222-3333-4444-555555555555',
  }
}

async function makeImage(path: string, sizeBytes: number, options: DeployLabOptions) {
  const image = await makeDiskImage(path, { sizeBytes, table: options.table ?? 'gpt' })
  if (!options.cutBytes) return image
  await truncate(path, sizeBytes - options.cutBytes)
  return await describeImage(path)
}

/** An old bootable system: both GPTs, a boot signature, noise around them. */
async function makeOldSystem(device: string): Promise<void> {
  const size = Number((await exec(['blockdev', '--getsize64', device])).stdout)
  await using disk = await open(device, 'r+')
  for (const offset of [0, size - 4 * MiB]) {
    await disk.write(randomBytes(4 * MiB), 0, 4 * MiB, offset)
  }
  await disk.sync()
  await exec(['sfdisk', '--quiet', '--no-reread', '--wipe=never', device], {
    input: 'label: gpt\nstart=2048,size=4096,type=U\n',
  })
}

export interface TorrentLab extends AsyncDisposable {
  readonly torrentFile: Uint8Array
  readonly metainfo: Metainfo
  readonly seeder: Seeder
  /** `image_info.torrent` with everything in it. */
  readonly payload: JsonObject
}

/** A torrent of the image and one seeder that reads the image file. */
export async function seedImage(image: DiskImage, trackerUrl: string): Promise<TorrentLab> {
  const { torrentFile, metainfo } = await createTorrent({
    image: { path: image.path },
    lengthBytes: image.sizeBytes,
    pieceLength: 256 * 1024,
  })
  const file = await open(image.path)
  const seeder = createSeeder(taskOf({ metainfo, trackers: [trackerUrl] }), {
    memory: createArenaBudget(OPTIONS.swarm_memory.default),
    startWorker: startSwarmWorker,
    readImage: async ({ offset, length }) => {
      const bytes = new Uint8Array(length)
      await file.read(bytes, 0, length, offset)
      return bytes
    },
    log: testLogger(),
    events: recordedStream(),
  })
  return {
    torrentFile,
    metainfo,
    seeder,
    payload: { metainfo: Buffer.from(torrentFile).toString('base64'), trackers: [trackerUrl] },
    [Symbol.asyncDispose]: async () => {
      await seeder[Symbol.asyncDispose]()
      await file.close()
    },
  }
}
