// SPDX-License-Identifier: Apache-2.0
// Owns bringing the image to the disk and proving that it is there: sources through the sinks, then the
// read-back against the expected hash. Does not make the disk bootable; deploy-image.ts does.
import { Coverage } from '../core/coverage.ts'
import { throwIfAborted } from '../core/deadline.ts'
import { AgentError } from '../core/errors.ts'
import { MiB } from '../core/units.ts'
import { createAlignedPool } from '../disk/aligned-pool.ts'
import type { BlockDevice } from '../disk/block-device.ts'
import type { ImageSource } from '../sources/source.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { ProgressMeter } from '../telemetry/progress-meter.ts'
import { fetchImage } from './fetch-image.ts'
import { createHeldBack, type HeldBack } from './hold-back.ts'
import { createOriginalImage, type OriginalImage } from './image-reader.ts'
import type { Plan, PlannedSource } from './plan.ts'
import { createReadBack } from './read-back.ts'
import { holdBack, limit, meter, writeTo } from './sinks.ts'

/** The only memory image bytes pass through on their way to the disk, beside the swarm's own. */
const POOL = { bufferBytes: 4 * MiB, count: 8 }

export interface TransferOptions {
  readonly plan: Plan & { readonly sizeBytes: number }
  readonly device: BlockDevice
  readonly createSource: (planned: PlannedSource) => ImageSource
  readonly progress: ProgressMeter
  /** Called with each source that is set to work. */
  readonly onSource: (source: ImageSource) => void
  readonly signal: AbortSignal
  readonly log: Logger
}

export interface TransferredImage {
  /** The one that completed the image; it may serve others from `original` until disposed of. */
  readonly source: ImageSource
  readonly held: HeldBack
  readonly original: OriginalImage
}

/**
 * Resolves when every byte but the held-back ones is on the disk and the image as read back has the
 * expected hash. Throws ImageChecksumError, ImageWriteError, BlockDeviceError, or what the sources throw.
 */
export async function transferImage(options: TransferOptions): Promise<TransferredImage> {
  const { plan, device, progress, signal, log } = options
  const coverage = new Coverage(plan.sizeBytes)
  const held = createHeldBack(plan.holdBack)
  const original = createOriginalImage(held, coverage)
  original.useDevice(device)
  const metered = meter(holdBack(writeTo(device), held), {
    coverage,
    onCovered: (bytes, from) => progress.add(bytes, from),
    onRewrite: () => {},
  })
  progress.begin('fetch', plan.sizeBytes, { source: null })
  const source = await fetchImage({
    planned: plan.sources,
    create: options.createSource,
    metered,
    request: {
      totalBytes: plan.sizeBytes,
      coverage,
      sink: limit(metered, plan.limitBytes, `image ${plan.imageId}`),
      pool: createAlignedPool(POOL),
      readImage: original.read,
      signal,
    },
    onSource: (next) => {
      progress.useSource(next.name)
      options.onSource(next)
    },
    log,
  })
  try {
    await device.sync()
    await verify(options, held)
    return { source, held, original }
  } catch (error) {
    await source[Symbol.asyncDispose]()
    throw error
  }
}

async function verify({ plan, device, progress, signal }: TransferOptions, held: HeldBack) {
  throwIfAborted(signal)
  progress.begin('read-back', plan.sizeBytes)
  await using readBack = createReadBack(device, plan.hash.algo, (bytes) => progress.add(bytes))
  const found = await readBack.finish(plan.sizeBytes, held.ranges, signal)
  if (found === plan.hash.value.toLowerCase()) return
  throw new AgentError(
    'ImageChecksumError',
    `${plan.hash.algo} of ${device.geometry.path} bytes 0–${plan.sizeBytes - 1} is ${found}, ` +
      `image_info says ${plan.hash.value}`,
  )
}
