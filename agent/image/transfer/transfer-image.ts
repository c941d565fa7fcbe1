// SPDX-License-Identifier: Apache-2.0
// Owns bringing the image to the disk and proving that it is there: sources through the sinks, then the
// read-back against the expected hash. Does not make the disk bootable; deploy-image.ts does.
import { Coverage } from '../../core/coverage.ts'
import { anySignal, throwIfAborted } from '../../core/deadline.ts'
import { AgentError } from '../../core/errors.ts'
import { endOf } from '../../core/extent.ts'
import { MiB } from '../../core/units.ts'
import { createAlignedPool } from '../../disk/aligned-pool.ts'
import type { BlockDevice } from '../../disk/block-device.ts'
import { createHeldBack, type HeldBack } from '../../disk/hold-back.ts'
import type { ImageSource } from '../../sources/source.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { ProgressMeter } from '../../telemetry/progress-meter.ts'
import { detectFormat, requireRawFormat, SNIFFED_BYTES } from '../formats/image-format.ts'
import type { Plan, PlannedSource } from '../plan/plan.ts'
import { createTrailingReadBack, type TrailingReadBack } from '../proof/trailing-read-back.ts'
import { downloadDeadline, fetchImage } from './fetch-image.ts'
import { createOriginalImage, type OriginalImage } from './original-image.ts'
import { holdBack, limit, meter, writeTo } from './sinks.ts'
import { createWriteJournal, type WriteJournal } from './write-journal.ts'

/** The only memory image bytes pass through on their way to the disk; the swarm brings its own. */
const POOL = { bufferBytes: 4 * MiB, count: 6 }

export interface TransferOptions {
  readonly plan: Plan & { readonly sizeBytes: number }
  readonly device: BlockDevice
  readonly createSource: (planned: PlannedSource) => ImageSource
  /** Config `permitted_image_formats`. */
  readonly permittedFormats: readonly string[]
  readonly progress: ProgressMeter
  /** Called with each source that is set to work. */
  readonly onSource: (source: ImageSource) => void
  /** Read the beginning back while the rest comes in. */
  readonly isTrailing: boolean
  /** Longest time for the fetch; 0 for no limit (image_download_max_duration). */
  readonly maxSeconds: number
  /** Without O_DIRECT the page cache would answer the read-back; called when everything is synced. */
  readonly dropCache: () => Promise<void>
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
 * expected hash. Throws ImageChecksumError, ReadBackMismatchError, ImageWriteError, BlockDeviceError, or what the sources throw.
 */
export async function transferImage(options: TransferOptions): Promise<TransferredImage> {
  const { plan, device, progress, signal, log } = options
  const coverage = new Coverage(plan.sizeBytes)
  const held = createHeldBack(plan.holdBack)
  const original = createOriginalImage(held, coverage)
  original.useDevice(device)
  await using readBack = createTrailingReadBack({
    device,
    algo: plan.hash.algo,
    coverage,
    held,
    isTrailing: options.isTrailing,
  })
  const checkFormat = createFormatCheck(options, coverage, held)
  const { journal, sink: journaled } = createWriteJournal(writeTo(device))
  const metered = meter(holdBack(journaled, held), {
    coverage,
    onCovered: (bytes, from) => {
      progress.add(bytes, from)
      checkFormat()
      readBack.covered()
    },
    onRewrite: (range) => {
      readBack.rewritten(range)
      journal.forget(range)
    },
  })
  using deadline = downloadDeadline(options.maxSeconds)
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
      signal: anySignal(signal, deadline.signal),
    },
    onSource: (next) => {
      progress.useSource(next.name)
      options.onSource(next)
    },
    log,
  })
  try {
    await device.sync()
    if (!device.isDirect) await options.dropCache()
    await verify(options, source, readBack, journal)
    return { source, held, original }
  } catch (error) {
    await source[Symbol.asyncDispose]()
    throw error
  }
}

/** Looks at the image's beginning once it is there, if nobody could before (contract 5.3.6). */
function createFormatCheck(
  { plan, permittedFormats }: TransferOptions,
  coverage: Coverage,
  held: HeldBack,
): () => void {
  let isOpen = plan.isFormatOpen
  const beginning = { offset: 0, length: Math.min(SNIFFED_BYTES, plan.sizeBytes) }
  return () => {
    if (!isOpen || !coverage.has(beginning)) return
    isOpen = false
    const bytes = held.ranges[0]?.bytes ?? new Uint8Array(0)
    requireRawFormat(detectFormat(bytes.subarray(0, beginning.length)), permittedFormats)
  }
}

async function verify(
  options: TransferOptions,
  source: ImageSource,
  readBack: TrailingReadBack,
  journal: WriteJournal,
): Promise<void> {
  const { plan, device, progress, signal } = options
  throwIfAborted(signal)
  progress.begin('read-back', plan.sizeBytes, { doneBytes: readBack.doneBytes })
  const found = await readBack.finish((bytes) => progress.add(bytes), signal)
  if (found === plan.hash.value.toLowerCase()) return
  const facts =
    `${plan.hash.algo} of ${device.geometry.path} bytes 0–${plan.sizeBytes - 1} is ${found}, ` +
    `image_info says ${plan.hash.value}; source was ${describeSource(source)}`
  const bad = await journal.findDifference(device, signal)
  if (bad) {
    throw new AgentError(
      'ReadBackMismatchError',
      `${facts}. Bytes ${bad.offset}–${endOf(bad) - 1} do not read back as they were written: ` +
        'the disk or the path to it is suspect; see dmesg and SMART',
    )
  }
  throw new AgentError(
    'ImageChecksumError',
    `${facts}. The disk holds what the source sent, so the image there is not the one that was ` +
      'hashed: check os_hash_value and what the image urls serve',
  )
}

function describeSource(source: ImageSource): string {
  const { peers } = source.stats()
  return source.name === 'swarm' ? `swarm (${peers} peers)` : source.name
}
