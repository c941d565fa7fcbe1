// SPDX-License-Identifier: Apache-2.0
// Owns the way of an image to a disk that boots: strings the rest of this folder together, top to bottom.
// After any failure nothing on the disk boots, and nothing is left open.
/// <reference lib="esnext.disposable" />

import { AgentError } from '../core/errors.ts'
import type { BytesBySource, EventPublisher } from '../core/events.ts'
import type { DiskRange } from '../core/extent.ts'
import { type BlockDevice, openBlockDevice } from '../disk/block-device.ts'
import type { DiskLayout } from '../disk/partitioning/disk-layout.ts'
import { requirePrograms } from '../disk/partitioning/file-systems.ts'
import {
  createTableKeeper,
  type KeptTable,
  type TableKeeper,
} from '../disk/partitioning/kept-table.ts'
import type { WrittenPartitions } from '../disk/partitioning/written-partitions.ts'
import type { ImageSource } from '../sources/source.ts'
import type { Root } from '../system/root.ts'
import { blockDeviceAt, readQueueNumber } from '../system/sysfs.ts'
import { rereadPartitions } from '../system/udev.ts'
import type { ProgressMeter } from '../telemetry/progress-meter.ts'
import { judgeFile } from './formats/judge-file.ts'
import { isUnpacked } from './formats/unpackers.ts'
import { createImageSource } from './plan/image-sources.ts'
import type { OpenPlan } from './plan/open-plan.ts'
import { fileLayout, type Plan } from './plan/plan.ts'
import { createImageProof } from './proof/image-proof.ts'
import type { ExpectedHash } from './request/checksum.ts'
import type { DeployImageDeps } from './request/deploy-request.ts'
import { type BootableDisk, makeBootable } from './target/make-bootable.ts'
import { openTargetDisk, type TargetDisk } from './target/target-disk.ts'
import { createImageOnDisk, type ImageOnDisk } from './transfer/image-on-disk.ts'
import { transferImage } from './transfer/transfer-image.ts'
import { unpackImage } from './unpack-image.ts'

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
  const disable = keeper ? { disable: keeper.disarm } : {}
  await using target = await openTargetDisk(path, { root, log, timeoutMs, ...disable })
  await using serving = new AsyncDisposableStack()
  const image = createImageOnDisk({
    sizeBytes: plan.sizeBytes,
    layout: fileLayout(plan),
    holdBack: plan.holdBack,
  })
  const table = keeper?.table() ?? null
  const stage: Stage = { ...request, target, table, image, deps }
  const reader = serving.use(createReaderSlot())
  const source = serving.use(await writeAndProve(stage))
  const bootable = await finishDisk(stage, await unpackKept(stage))
  await reader.open(path, image, deps)
  await target.release()
  await tellPartitions(path, deps)
  target.keep()
  progress.begin('done', plan.sizeBytes, plan.sizeBytes)
  return {
    device: path,
    imageId: plan.imageId,
    ...bootable,
    hash: plan.hash,
    seconds: (deps.now() - startedAtMs) / 1000,
    bytes: progress.snapshot().bytes,
    ...(source.ended !== undefined ? { seeding: seedingOf(serving.move(), source.ended) } : {}),
  }
}

/** What the stages of one deploy share. */
interface Stage extends DeployImageRequest {
  readonly target: TargetDisk
  /** That stays on the disk. */
  readonly table: KeptTable | null
  readonly image: ImageOnDisk
  readonly deps: DeployImageDeps
}

/** Resolves when the whole file was read back from the disk and is the expected one, to the source of it. */
async function writeAndProve(stage: Stage): Promise<ImageSource> {
  const { opened, target, image, progress, events, signal, deps } = stage
  const { plan, servers } = opened
  const { device } = target
  image.useDevice(device)
  await using proof = createImageProof({
    image,
    device,
    hash: plan.hash,
    isTrailing: await canTrail(stage),
    progress,
  })
  const source = await transferImage({
    plan,
    image,
    device,
    watch: proof,
    createSource: (planned) => createImageSource(planned, servers, { ...deps, events }),
    judge: (firstBytes) => requirePlanned(plan, firstBytes, deps),
    progress,
    deadline: opened.deadline,
    signal,
    events,
  })
  try {
    await device.sync()
    if (!device.isDirect) await dropCache(device.geometry.path, deps)
    await proof.verify(nameOf(source), signal)
    return source
  } catch (error) {
    await source[Symbol.asyncDispose]()
    throw error
  }
}

/** What is planned for a file of another format cannot be followed for this one. Throws InvalidImage. */
function requirePlanned(
  { format, namedFormat, content }: Plan,
  firstBytes: Uint8Array,
  { config }: DeployImageDeps,
): void {
  const found = judgeFile(firstBytes, namedFormat, config.permitted_image_formats, content)
  if (isUnpacked(found) === isUnpacked(format)) return
  throw new AgentError(
    'InvalidImage',
    `the image is ${found}, which no server could be asked before the disk was laid out for ${format}; let the ` +
      'agent reach one of the urls, or name the format in instance_info (image_compression_type, image_disk_format)',
  )
}

/** Resolves to the part of the disk that the image takes. */
async function unpackKept(stage: Stage): Promise<DiskRange> {
  const { plan } = stage.opened
  const { unpacking, sizeBytes, namedFormat, content } = plan
  if (!unpacking) return stage.image.layout.area
  const { device } = stage.target
  const imageBytes = await unpackImage(
    {
      ...stage,
      device,
      unpacking,
      namedFormat,
      content,
      fileBytes: sizeBytes,
      isTrailing: await canTrail(stage),
      dropCache: async () => {
        if (!device.isDirect) await dropCache(device.geometry.path, stage.deps)
      },
    },
    stage.deps,
  )
  return { offset: unpacking.window.offset, length: imageBytes }
}

async function canTrail({ target: { device }, deps }: Stage): Promise<boolean> {
  return device.isDirect && !(await isRotational(deps.root, device.geometry.path))
}

/** Keeps the table of a disk whose ephemeral partition is preserved. */
function keeperOf(layout: DiskLayout | null): TableKeeper | undefined {
  return layout?.preservesEphemeral ? createTableKeeper(layout) : undefined
}

/** What was held back, made fit for this disk. */
async function finishDisk(
  { opened, target, table, image, progress, signal, deps }: Stage,
  imageArea: DiskRange,
): Promise<BootableDisk> {
  const { exec, log, config } = deps
  return await makeBootable({
    device: target.device,
    held: image.held,
    onOverwrite: image.overwritten,
    imageArea,
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

function nameOf(source: ImageSource): string {
  return source.name === 'swarm' ? `swarm (${source.stats().peers} peers)` : source.name
}

/** Heads that go to and fro between writing and reading cost more than a second pass (sysfs-block). */
async function isRotational(root: Root, path: string): Promise<boolean> {
  const device = await blockDeviceAt(root, path)
  return device !== undefined && (await readQueueNumber(root, device, 'rotational')) === 1
}

/**
 * Clean pages, so after an fsync all of them: of a device by its ioctl (blockdev(8)), of a file by dd(1), whose
 * count=0 with nocache means the whole file; BusyBox's dd has no such flag.
 */
async function dropCache(path: string, { exec, root }: DeployImageDeps): Promise<void> {
  if (await blockDeviceAt(root, path)) await exec(['blockdev', '--flushbufs', path])
  else await exec(['dd', `if=${path}`, 'iflag=nocache', 'count=0', 'status=none'])
}

/** Best effort: nothing here needs partition nodes, and the kernel may have no parser for the table. */
async function tellPartitions(path: string, { exec, log }: DeployImageDeps): Promise<void> {
  try {
    await rereadPartitions(exec, path)
  } catch (err) {
    log.debug({ device: path, err }, 'partition table not re-read by the kernel')
  }
}
