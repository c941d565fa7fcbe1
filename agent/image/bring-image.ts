// SPDX-License-Identifier: Apache-2.0
// Owns the way of an image to the disk, by what its file is: written as it is or by its clusters, kept and then
// unpacked, or unpacked while it comes in. What boots of it stays in RAM. Does not open the disk, nor make it bootable.
import { anySignal } from '../core/deadline.ts'
import { AgentError } from '../core/errors.ts'
import type { EventPublisher } from '../core/events.ts'
import type { DiskRange } from '../core/extent.ts'
import type { BlockDevice } from '../disk/block-device.ts'
import type { HeldBack } from '../disk/hold-back.ts'
import type { ImageSource } from '../sources/source.ts'
import type { Root } from '../system/root.ts'
import { blockDeviceAt, readQueueNumber } from '../system/sysfs.ts'
import type { ProgressMeter } from '../telemetry/progress-meter.ts'
import { judgeFile, judgeUnpacked } from './formats/judge-file.ts'
import { isUnpacked } from './formats/unpackers.ts'
import { createImageSource } from './plan/image-sources.ts'
import type { OpenPlan } from './plan/open-plan.ts'
import { fileLayout, type Plan } from './plan/plan.ts'
import type { InOrderUnpacking, PlannedUnpacking } from './plan/unpacking.ts'
import { createImageProof } from './proof/image-proof.ts'
import type { DeployImageDeps } from './request/deploy-request.ts'
import { type StraightImage, startStraightImage } from './straight-image.ts'
import { createImageOnDisk, type ImageOnDisk } from './transfer/image-on-disk.ts'
import { checkFormat, sinkToDisk } from './transfer/sinks.ts'
import { syncAlong } from './transfer/synced-device.ts'
import { transferImage } from './transfer/transfer-image.ts'
import { unpackArriving } from './unpack-arriving.ts'
import { requirePlannedContainer, unpackContainer } from './unpack-container.ts'
import { unpackKept } from './unpack-kept.ts'
import type { UnpackTargetRequest } from './unpack-target.ts'

export interface BringImageRequest {
  readonly opened: OpenPlan
  /** Cannot boot. */
  readonly device: BlockDevice
  readonly progress: ProgressMeter
  /** Hears of sources that give up, and of trackers. */
  readonly events: EventPublisher
  readonly signal: AbortSignal
}

/** What the ways share. */
interface Bringing extends BringImageRequest {
  readonly deps: DeployImageDeps
  /** Read the beginning back while the rest comes in. */
  readonly isTrailing: boolean
}

/** An image that is on the disk, read back, and cannot boot yet. */
export interface BroughtImage {
  /** The part of the disk that it takes. */
  readonly area: DiskRange
  readonly held: HeldBack
  /** The file that it came in, where it can be read from the disk. */
  readonly file: ImageOnDisk | null
  /** May serve the file to others. */
  readonly source: ImageSource | null
}

/**
 * Resolves when the image is on the disk, but for what boots of it, and read back. Throws an AgentError of image, source
 * or disk.
 */
export async function bringImage(
  request: BringImageRequest,
  deps: DeployImageDeps,
): Promise<BroughtImage> {
  const isTrailing = await canTrail(request, deps)
  const device = isTrailing ? syncAlong(request.device) : request.device
  const stage: Bringing = { ...request, device, deps, isTrailing }
  const { plan } = request.opened
  const { unpacking } = plan
  if (unpacking && unpacking.kept === null) return await unpackWhileFetching(stage, unpacking)
  const file = createImageOnDisk({
    sizeBytes: plan.sizeBytes,
    layout: fileLayout(plan, unpacking),
    holdBack: plan.holdBack,
  })
  const source = await writeAndProve(stage, file)
  if (!unpacking) return { area: file.layout.area, held: file.held, file, source }
  try {
    const { format, kept } = unpacking
    const { held, read } = file
    const target = { ...targetOf(stage, unpacking), held }
    const { namedFormat, sizeBytes: fileBytes } = plan
    const bytes = await unpackKept({ ...target, format, namedFormat, kept, fileBytes, read }, deps)
    return { area: await imageArea(stage, unpacking, held, bytes), held, file, source }
  } catch (error) {
    await source[Symbol.asyncDispose]()
    throw error
  }
}

async function unpackWhileFetching(
  stage: Bringing,
  unpacking: InOrderUnpacking,
): Promise<BroughtImage> {
  const { opened, deps, events } = stage
  const { plan, deadline, servers } = opened
  const { imageBytes: bytes, held } = await unpackArriving(
    {
      ...targetOf(stage, unpacking),
      plan,
      unpacking,
      deadline,
      events,
      createSource: (planned) => createImageSource(planned, servers, { ...deps, events }),
    },
    deps,
  )
  return { area: await imageArea(stage, unpacking, held, bytes), held, file: null, source: null }
}

/** Of the image, which is there when this resolves. @param unpackedBytes came out of the file */
async function imageArea(
  stage: Bringing,
  { window, container }: PlannedUnpacking,
  held: HeldBack,
  unpackedBytes: number,
): Promise<DiskRange> {
  const { offset } = window
  if (!container) return { offset, length: unpackedBytes }
  const { plan } = stage.opened
  const target = { ...targetOf(stage, { format: container.format, window, container: null }), held }
  const request = { ...target, plan, container, containerBytes: unpackedBytes }
  return { offset, length: await unpackContainer(request, stage.deps) }
}

/** Where what comes out of a file goes first, and what it has to be. */
function targetOf(
  { device, isTrailing, progress, signal, ...stage }: Bringing,
  { format, window, container }: Pick<PlannedUnpacking, 'format' | 'window' | 'container'>,
): Omit<UnpackTargetRequest, 'held'> {
  const { plan } = stage.opened
  const permitted = stage.deps.config.permitted_image_formats
  const judge = (firstBytes: Uint8Array) =>
    container
      ? requirePlannedContainer(firstBytes, format, container, plan, permitted)
      : judgeUnpacked(firstBytes, format, plan.namedFormat, permitted, plan.content)
  const dropCache = () => forgetCached({ device, deps: stage.deps })
  return {
    window: container?.window ?? window,
    judge,
    device,
    isTrailing,
    dropCache,
    progress,
    signal,
  }
}

/** Resolves when the whole file was read back from the disk and is the expected one, to the source of it. */
async function writeAndProve(stage: Bringing, image: ImageOnDisk): Promise<ImageSource> {
  const { opened, device, isTrailing, progress, events, signal, deps } = stage
  const { plan, servers } = opened
  image.useDevice(device)
  await using proof = createImageProof({
    image,
    device,
    hash: plan.hash,
    isTrailing,
    progress,
  })
  await using straight = startStraight(stage, image)
  const sink = sinkToDisk(image, device, proof.journaled)
  const judge = (firstBytes: Uint8Array) => requirePlanned(plan, firstBytes, deps)
  const source = await transferImage({
    plan,
    target: {
      coverage: image.coverage,
      sink: plan.isFormatOpen ? checkFormat(sink, plan.sizeBytes, judge) : sink,
      readImage: image.read,
      covered: proof.covered,
      rewritten: proof.rewritten,
    },
    createSource: (planned) => createImageSource(planned, servers, { ...deps, events }),
    progress,
    deadline: opened.deadline,
    signal: anySignal(signal, straight?.failed),
    events,
  })
  try {
    await straight?.filled()
    await device.sync()
    await forgetCached(stage)
    // where no heads go to and fro
    const zeros = stage.isTrailing ? straight?.readBack() : undefined
    // met below; what the file's proof throws comes first
    zeros?.catch(() => undefined)
    await proof.verify(nameOf(source), signal, straight?.zeros)
    await (zeros ?? straight?.readBack())
    await straight?.judge()
    return source
  } catch (error) {
    await source[Symbol.asyncDispose]()
    throw error
  }
}

/** Nothing but for a qcow2 whose clusters go straight to their places. */
function startStraight(stage: Bringing, image: ImageOnDisk): StraightImage | undefined {
  const { plan } = stage.opened
  const { clusters } = plan
  if (!clusters) return undefined
  const dropCache = () => forgetCached(stage)
  return startStraightImage({ ...stage, dropCache, plan, clusters, image }, stage.deps)
}

/** From then on nothing that was synced is read from the page cache. */
async function forgetCached({ device, deps }: Pick<Bringing, 'device' | 'deps'>): Promise<void> {
  if (!device.isDirect) await dropCache(device.geometry.path, deps)
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
      'agent reach one of the urls, or name the format: --format; for a node image_compression_type, image_disk_format in instance_info',
  )
}

async function canTrail(
  { device }: BringImageRequest,
  { root }: DeployImageDeps,
): Promise<boolean> {
  return device.isDirect && !(await isRotational(root, device.geometry.path))
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
