// SPDX-License-Identifier: Apache-2.0
// Owns the way of an image to a disk that boots: strings the rest of this folder together, top to bottom.
// After any failure nothing on the disk boots, and nothing is left open.
/// <reference lib="esnext.disposable" />

import type { Config } from '../config/options.ts'
import type { Random } from '../core/backoff.ts'
import { throwIfAborted } from '../core/deadline.ts'
import { isAgentError, toAgentError } from '../core/errors.ts'
import type { BytesBySource, Progress } from '../core/events.ts'
import type { JsonObject } from '../core/json.ts'
import { type BlockDevice, openBlockDevice } from '../disk/block-device.ts'
import { writeConfigDrive } from '../disk/configdrive/configdrive.ts'
import { assertNotInUse } from '../disk/in-use.ts'
import { diskIdentifier } from '../disk/partition-table/mbr.ts'
import { assertPartitioned, fixBackupGpt } from '../disk/partition-table/partitioner.ts'
import type { SourceStats } from '../sources/source.ts'
import type { ArenaBudget } from '../sources/swarm/thread/arena-budget.ts'
import type { Exec } from '../system/exec.ts'
import { createRoot, type Root } from '../system/root.ts'
import { deviceNumberOf, findBlockDevice, readQueueNumber } from '../system/sysfs.ts'
import type { Logger } from '../telemetry/logger.ts'
import { operation } from '../telemetry/operation.ts'
import { createProgressMeter } from '../telemetry/progress-meter.ts'
import { createImageSource } from './plan/image-sources.ts'
import { prepareImage } from './plan/preparation.ts'
import type { ExpectedHash } from './request/checksum.ts'
import type { ImageInfo } from './request/image-info.ts'
import { createStagedDevice } from './target/staged-device.ts'
import { openTargetDisk } from './target/target-disk.ts'
import { transferImage } from './transfer/transfer-image.ts'

export interface DeployImageRequest {
  readonly imageInfo: ImageInfo
  /** As Ironic sent it (contract 5.3.8): a url or base64 of a gzip; null for none. */
  readonly configdrive: string | null
  readonly node?: JsonObject
  readonly devicePath: string
  readonly signal: AbortSignal
  /** At most twice a second, and at each step. */
  onProgress(progress: Progress): void
}

export interface PrepareImageDeps {
  readonly config: Config
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
  readonly random: Random
  /** The rack's name if it is found out later; undefined if it is not. */
  readonly laterRack?: Promise<string | undefined>
  /** Milliseconds that only go forward. */
  readonly now: () => number
}

export interface DeployImageDeps extends PrepareImageDeps {
  /** What pieces of all torrents may take together (option swarm_memory). */
  readonly swarmMemory: ArenaBudget
}

export interface DeployedImage {
  readonly device: string
  readonly imageId: string
  /** `0x…`, the disk identifier of the MBR (contract 5.2 step 7). */
  readonly rootUuid: string | null
  readonly hash: ExpectedHash
  readonly seconds: number
  readonly bytes: BytesBySource
  /** Goes on serving the image from the disk until disposed of; only after a swarm delivery. */
  readonly seeding?: AsyncDisposable
}

/**
 * Writes the image, reads it back, and only then lets the disk boot. An image that is on the disk already
 * is written again: an id says nothing of content (docs/design/010-read-back.md).
 * Throws an AgentError of image, source or disk; the disk then has no partition table.
 */
export async function deployImage(
  request: DeployImageRequest,
  deps: DeployImageDeps,
): Promise<DeployedImage> {
  const fields = {
    node_uuid: request.imageInfo.nodeUuid,
    image_id: request.imageInfo.id,
    device: request.devicePath,
  }
  return await operation(deps.log, 'write image', fields, async (note) => {
    try {
      const deployed = await deploy(request, deps)
      note({ hash: deployed.hash, bytes: deployed.bytes })
      return deployed
    } catch (error) {
      // an abort surfaces as whatever the interrupted call makes of it
      if (!isAgentError(error)) throwIfAborted(request.signal)
      throw toAgentError(error)
    }
  })
}

async function deploy(request: DeployImageRequest, deps: DeployImageDeps): Promise<DeployedImage> {
  const { imageInfo, devicePath, signal } = request
  const { log, exec, root } = deps
  const startedAtMs = deps.now()
  let stats = (): SourceStats => ({ peers: 0, uploadedBytes: 0 })
  using progress = createProgressMeter({
    now: deps.now,
    onProgress: request.onProgress,
    stats: () => stats(),
  })
  progress.begin('prepare', 0)
  await assertNotInUse(devicePath, { exec, root })
  await using prepared = await prepareImage(request, deps)
  const { plan, facts, servers } = prepared

  // disposed of in reverse: what reads the disk ends before the disk is erased and closed
  await using target = await openTargetDisk(devicePath, log)
  await using serving = new AsyncDisposableStack()
  let reader: BlockDevice | undefined
  serving.defer(async () => await reader?.[Symbol.asyncDispose]())
  const image = await transferImage({
    plan,
    device: target.device,
    createSource: (planned) => createImageSource(planned, imageInfo, facts, servers, deps),
    permittedFormats: deps.config.permitted_image_formats,
    progress,
    onSource: (source) => {
      stats = () => source.stats()
    },
    isTrailing: target.device.isDirect && !(await isRotational(devicePath)),
    dropCache: () => dropCache(devicePath, deps),
    maxSeconds: deps.config.image_download_max_duration,
    signal,
    log,
  })
  const source = serving.use(image.source)

  const staged = createStagedDevice(target.device, image.held, image.original.overwritten)
  await assertPartitioned(staged)
  await fixBackupGpt(staged)
  if (prepared.configdrive) {
    progress.begin('configdrive', prepared.configdrive.length)
    await addConfigDrive(staged, prepared.configdrive, deps)
  }
  throwIfAborted(signal)
  progress.begin('commit', 0)
  await staged.commit()
  const rootUuid = await readRootUuid(staged)

  reader = await openBlockDevice(devicePath, { mode: 'read', log })
  image.original.useDevice(reader)
  await image.original.settle()
  await target.release()
  await rereadPartitions(devicePath, deps)
  target.keep()
  progress.begin('done', plan.sizeBytes, { doneBytes: plan.sizeBytes })
  return {
    device: devicePath,
    imageId: imageInfo.id,
    rootUuid,
    hash: plan.hash,
    seconds: (deps.now() - startedAtMs) / 1000,
    bytes: progress.snapshot().bytes,
    ...(source.name === 'swarm' ? { seeding: serving.move() } : {}),
  }
}

/** Heads that go to and fro between writing and reading cost more than a second pass (sysfs-block). */
async function isRotational(path: string): Promise<boolean> {
  const root = createRoot('/')
  const number = await deviceNumberOf(path)
  const device = number === undefined ? undefined : await findBlockDevice(root, number)
  return device !== undefined && (await readQueueNumber(root, device, 'rotational')) === 1
}

async function addConfigDrive(device: BlockDevice, image: Uint8Array, deps: DeployImageDeps) {
  const { exec, log, config } = deps
  await writeConfigDrive({ device, image, exec, rebuild: config.config_drive_rebuild, log })
}

async function readRootUuid(disk: BlockDevice): Promise<string> {
  const sector = new Uint8Array(disk.geometry.logicalSectorBytes)
  await disk.read(0, sector)
  return diskIdentifier(sector)
}

/** dd(1): count=0 with nocache drops the whole file's pages; clean ones, so after an fsync all of them. */
async function dropCache(path: string, { exec }: DeployImageDeps): Promise<void> {
  await exec(['dd', `if=${path}`, 'iflag=nocache', 'count=0', 'status=none'])
}

/** Best effort: nothing here needs partition nodes, and the kernel may have no parser for the table. */
async function rereadPartitions(path: string, { exec, log }: DeployImageDeps): Promise<void> {
  try {
    await exec(['blockdev', '--rereadpt', path], { timeoutMs: 30_000 })
  } catch (err) {
    log.debug({ device: path, err }, 'partition table not re-read by the kernel')
  }
}
