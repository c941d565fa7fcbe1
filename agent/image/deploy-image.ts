// SPDX-License-Identifier: Apache-2.0
// Owns the way of an image to a disk that boots: strings the rest of this folder together, top to bottom.
// After any failure nothing on the disk boots, and nothing is left open.
/// <reference lib="esnext.disposable" />

import type { BytesBySource, EventPublisher } from '../core/events.ts'
import { type BlockDevice, openBlockDevice } from '../disk/block-device.ts'
import type { DiskLayout } from '../disk/partitioning/disk-layout.ts'
import { requirePrograms } from '../disk/partitioning/file-systems.ts'
import {
  createTableKeeper,
  type KeptTable,
  type TableKeeper,
} from '../disk/partitioning/kept-table.ts'
import type { WrittenPartitions } from '../disk/partitioning/written-partitions.ts'
import { rereadPartitions } from '../system/udev.ts'
import type { ProgressMeter } from '../telemetry/progress-meter.ts'
import { type BroughtImage, bringImage } from './bring-image.ts'
import type { OpenPlan } from './plan/open-plan.ts'
import type { ExpectedHash } from './request/checksum.ts'
import type { DeployImageDeps } from './request/deploy-request.ts'
import { type BootableDisk, makeBootable } from './target/make-bootable.ts'
import { type DiskListener, openTargetDisk, type TargetDisk } from './target/target-disk.ts'
import type { ImageOnDisk } from './transfer/image-on-disk.ts'

/** The image served from the disk, which it holds open. */
export interface Seeding extends AsyncDisposable {
  /** Resolves when it ends by itself: the time or the ratio it was given is up. It is still to be disposed of. */
  readonly ended?: Promise<void>
}

export interface DeployedImage {
  readonly device: string
  readonly imageId: string
  /** `0x…`, the disk identifier of the MBR (contract 5.2 step 7); of a partition image its root file system's UUID. */
  readonly rootUuid: string | null
  /** Of a partition image; null for a whole disk, which has brought its own. */
  readonly partitions: WrittenPartitions | null
  readonly hash: ExpectedHash
  readonly seconds: number
  readonly bytes: BytesBySource
  /** Goes on serving the image from the disk until disposed of; only after a swarm delivery. */
  readonly seeding?: Seeding
}

/** A plan to follow. */
export interface DeployImageRequest {
  /** Stays its owner's. */
  readonly opened: OpenPlan
  readonly progress: ProgressMeter
  /** Hears of sources that give up, and of trackers. */
  readonly events: EventPublisher
  readonly signal: AbortSignal
  /** Hears what becomes of the disk. */
  readonly onDisk?: DiskListener
}

/**
 * Follows the plan: writes the image, reads it back, and only then lets the disk boot. An image that is on the
 * disk already is written again: an id says nothing of content (docs/design/010-read-back.md).
 * Throws an AgentError of image, source or disk, or what an interrupted call makes of an abort; the disk then
 * has no partition table.
 */
export async function deployImage(
  request: DeployImageRequest,
  deps: DeployImageDeps,
): Promise<DeployedImage> {
  const { opened, progress } = request
  const { plan } = opened
  const { path } = plan.target.disk
  const { root, log } = deps
  const timeoutMs = deps.config.disk_timeout * 1000
  const startedAtMs = deps.now()

  if (plan.target.layout) {
    await requirePrograms(plan.target.layout, { exec: deps.exec, signal: request.signal })
  }
  // disposed of in reverse: what reads the disk ends before the disk is erased and closed
  const keeper = keeperOf(plan.target.layout)
  const hooks = { ...(keeper ? { disable: keeper.disarm } : {}), onDisk: request.onDisk }
  await using target = await openTargetDisk(path, { root, log, timeoutMs, ...hooks })
  await using serving = new AsyncDisposableStack()
  const table = keeper?.table() ?? null
  const reader = serving.use(createReaderSlot())
  const arrived = await bringImage({ ...request, device: target.device }, deps)
  if (arrived.source) serving.use(arrived.source)
  const bootable = await finishDisk({ ...request, target, table }, arrived, deps)
  if (arrived.file) await reader.open(path, arrived.file, deps)
  await target.release()
  await tellPartitions(path, deps)
  target.keep()
  progress.begin('done', plan.sizeBytes, { done: plan.sizeBytes })
  const ended = arrived.source?.ended
  return {
    device: path,
    imageId: plan.imageId,
    ...bootable,
    hash: plan.hash,
    seconds: (deps.now() - startedAtMs) / 1000,
    bytes: progress.snapshot().bytes,
    ...(ended !== undefined ? { seeding: seedingOf(serving.move(), ended) } : {}),
  }
}

/** What the stages of one deploy share. */
interface Stage extends DeployImageRequest {
  readonly target: TargetDisk
  /** That stays on the disk. */
  readonly table: KeptTable | null
}

/** Keeps the table of a disk whose ephemeral partition is preserved. */
function keeperOf(layout: DiskLayout | null): TableKeeper | undefined {
  return layout?.preservesEphemeral ? createTableKeeper(layout) : undefined
}

/** What was held back, made fit for this disk. */
async function finishDisk(
  { opened, target, table, progress, signal }: Stage,
  { area, held, file }: BroughtImage,
  { exec, log, config }: DeployImageDeps,
): Promise<BootableDisk> {
  return await makeBootable({
    device: target.device,
    held,
    onOverwrite: (range) => file?.overwritten(range),
    imageArea: area,
    layout: opened.plan.target.layout,
    table,
    configdrive: opened.configdrive,
    rebuild: config.config_drive_rebuild,
    onStage: (stage, bytes) => progress.begin(stage, bytes),
    exec,
    log,
    signal,
  })
}

/** The disk as peers are served from it, once its writer lets go. */
function createReaderSlot() {
  let device: BlockDevice | undefined
  return {
    open: async (path: string, image: ImageOnDisk, { root, log, config }: DeployImageDeps) => {
      const timeoutMs = config.disk_timeout * 1000
      device = await openBlockDevice(path, { mode: 'read', root, log, timeoutMs })
      image.useDevice(device)
      await image.settle()
    },
    [Symbol.asyncDispose]: async () => await device?.[Symbol.asyncDispose](),
  }
}

function seedingOf(serving: AsyncDisposable, ended: Promise<void>): Seeding {
  return { ended, [Symbol.asyncDispose]: () => Promise.resolve(serving[Symbol.asyncDispose]()) }
}

/** Best effort: nothing here needs partition nodes, and the kernel may have no parser for the table. */
async function tellPartitions(path: string, { exec, log }: DeployImageDeps): Promise<void> {
  try {
    await rereadPartitions(exec, path)
  } catch (err) {
    log.debug({ device: path, err }, 'partition table not re-read by the kernel')
  }
}
