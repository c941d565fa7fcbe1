// SPDX-License-Identifier: Apache-2.0
// Owns bringing the image to the disk: the sinks between sources and disk, strung together from the bottom up,
// and the sources that fill them. Does not prove that it is there (proof/), nor make the disk bootable.
import { anySignal } from '../../core/deadline.ts'
import type { EventPublisher } from '../../core/events.ts'
import type { DiskSink, FileRange } from '../../core/extent.ts'
import { MiB } from '../../core/units.ts'
import { createAlignedPool } from '../../disk/aligned-pool.ts'
import type { BlockDevice } from '../../disk/block-device.ts'
import type { ImageSource } from '../../sources/source.ts'
import type { ProgressMeter } from '../../telemetry/progress-meter.ts'
import type { Plan, PlannedSource } from '../plan/plan.ts'
import type { DownloadDeadline } from '../request/download-deadline.ts'
import { fetchImage } from './fetch-image.ts'
import type { ImageOnDisk } from './image-on-disk.ts'
import { type MeteredSink, meter } from './meter.ts'
import { checkFormat, holdBack, limit, place, writeTo } from './sinks.ts'

/** The only memory image bytes pass through on their way to the disk; the swarm brings its own. */
const POOL = { bufferBytes: 4 * MiB, count: 6 }

/** Who has to know what happens to the disk. */
export interface TransferWatch {
  /** Put between the held-back bytes and the disk. */
  journaled(next: DiskSink): DiskSink
  /** More bytes of the file are on the disk. */
  covered(): void
  /** These bytes are about to be written again. */
  rewritten(range: FileRange): void
}

export interface TransferOptions {
  readonly plan: Pick<Plan, 'imageId' | 'sizeBytes' | 'sources' | 'isFormatOpen'>
  readonly image: ImageOnDisk
  readonly device: Pick<BlockDevice, 'geometry' | 'write'>
  readonly watch: TransferWatch
  readonly createSource: (planned: PlannedSource) => ImageSource
  /** Judges the file's beginning where the plan could not, and throws InvalidImage. */
  readonly judge: (firstBytes: Uint8Array) => void
  readonly progress: ProgressMeter
  /** Runs since the plan was begun; stopped when every byte is there. */
  readonly deadline: DownloadDeadline
  readonly signal: AbortSignal
  readonly events: EventPublisher
}

/**
 * Resolves when every byte of the file has been written or held back, to the source that completed it: it may
 * serve others from `image` until it is disposed of. Throws InvalidImage, ImageWriteError, BlockDeviceError,
 * or what the sources throw.
 */
export async function transferImage(options: TransferOptions): Promise<ImageSource> {
  const { plan, image, progress, signal, events } = options
  const metered = createSinks(options)
  using deadline = options.deadline
  deadline.watch(image.coverage)
  progress.begin('fetch', plan.sizeBytes)
  return await fetchImage({
    planned: plan.sources,
    create: options.createSource,
    metered,
    request: {
      totalBytes: plan.sizeBytes,
      coverage: image.coverage,
      sink: limit(metered, plan.sizeBytes, `image ${plan.imageId}`),
      withdraw: (range) => metered.withdraw(range),
      pool: createAlignedPool(POOL),
      readImage: image.read,
      signal: anySignal(signal, deadline.signal),
    },
    onSource: (next) => progress.useSource(next),
    events,
  })
}

function createSinks(options: TransferOptions): MeteredSink {
  const { plan, image, watch, progress } = options
  const toDisk = holdBack(watch.journaled(writeTo(options.device)), image.held)
  const placed = place(toDisk, image.layout)
  const checked = plan.isFormatOpen ? checkFormat(placed, plan.sizeBytes, options.judge) : placed
  return meter(checked, {
    coverage: image.coverage,
    onCovered: (bytes, from) => {
      progress.add(bytes, from)
      watch.covered()
    },
    onRewrite: (range) => watch.rewritten(range),
    // another source has brought them: an image server, as only one of the two is a swarm
    onWithdrawn: (bytes) => progress.add(-bytes, 'origin'),
  })
}
