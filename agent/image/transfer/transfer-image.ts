// SPDX-License-Identifier: Apache-2.0
// Owns bringing the file from its sources to a sink: the account of what is there, and the sources that bring what is
// missing. Does not prove that it is there (proof/), nor make the disk bootable.

import type { Coverage } from '../../core/coverage.ts'
import { anySignal } from '../../core/deadline.ts'
import type { EventPublisher } from '../../core/events.ts'
import type { FileRange, FileSink, ImageReader } from '../../core/extent.ts'
import { MiB } from '../../core/units.ts'
import { createAlignedPool } from '../../disk/aligned-pool.ts'
import type { ImageSource } from '../../sources/source.ts'
import type { ProgressMeter } from '../../telemetry/progress-meter.ts'
import type { Plan } from '../plan/plan.ts'
import type { PlannedSource } from '../plan/plan-parts.ts'
import type { DownloadDeadline } from '../request/download-deadline.ts'
import { fetchImage } from './fetch-image.ts'
import { meter } from './meter.ts'
import { limit } from './sinks.ts'

/** The only memory image bytes pass through on their way to the disk; the swarm brings its own. */
const POOL = { bufferBytes: 4 * MiB, count: 6 }

/** Where the file goes. */
export interface TransferTarget {
  readonly coverage: Coverage
  /** Takes what is not longer than promised. */
  readonly sink: FileSink
  /** Reads what is covered, for seeding and for checking pieces. */
  readonly readImage: ImageReader
  /** More bytes of the file are there. */
  covered(): void
  /** These bytes are about to be written again. */
  rewritten(range: FileRange): void
}

export interface TransferOptions {
  readonly plan: Pick<Plan, 'imageId' | 'sizeBytes' | 'sources'>
  readonly target: TransferTarget
  readonly createSource: (planned: PlannedSource) => ImageSource
  readonly progress: ProgressMeter
  /** Runs since the plan was begun; stopped when every byte is there. */
  readonly deadline: DownloadDeadline
  readonly signal: AbortSignal
  readonly events: EventPublisher
}

/**
 * Resolves when the target has taken every byte of the file, to the source that completed it: it may serve others
 * by `readImage` until it is disposed of. Throws InvalidImage, what the target throws, or what the sources throw.
 */
export async function transferImage(options: TransferOptions): Promise<ImageSource> {
  const { plan, target, progress, signal, events } = options
  const metered = meter(target.sink, {
    coverage: target.coverage,
    onCovered: (bytes, from) => {
      progress.add(bytes, from)
      target.covered()
    },
    onRewrite: (range) => target.rewritten(range),
    // another source has brought them: an image server, as only one of the two is a swarm
    onWithdrawn: (bytes) => progress.add(-bytes, 'origin'),
  })
  using deadline = options.deadline
  deadline.watch(target.coverage)
  progress.begin('fetch', plan.sizeBytes)
  return await fetchImage({
    planned: plan.sources,
    create: options.createSource,
    metered,
    request: {
      totalBytes: plan.sizeBytes,
      coverage: target.coverage,
      sink: limit(metered, plan.sizeBytes, `image ${plan.imageId}`),
      withdraw: (range) => metered.withdraw(range),
      pool: createAlignedPool(POOL),
      readImage: target.readImage,
      signal: anySignal(signal, deadline.signal),
    },
    onSource: (next) => progress.useSource(next),
    events,
  })
}
