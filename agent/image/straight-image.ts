// SPDX-License-Identifier: Apache-2.0
// Owns what a qcow2 takes whose clusters go straight to their places, besides its bytes: zeros where its disk has no
// cluster, their proof, and the judgement of the proved file, whose tables a server has told before. Does not fetch,
// nor make the disk bootable.
/// <reference lib="esnext.disposable" />
import { anySignal } from '../core/deadline.ts'
import type { DiskRange } from '../core/extent.ts'
import type { BlockDevice } from '../disk/block-device.ts'
import type { ProgressMeter } from '../telemetry/progress-meter.ts'
import { SNIFFED_BYTES } from './formats/image-format.ts'
import { judgeProved, judgeUnpacked } from './formats/judge-file.ts'
import { zeroRanges } from './formats/qcow2/straight/cluster-map.ts'
import { requireSameClusters } from './formats/qcow2/straight/map-clusters.ts'
import type { Plan } from './plan/plan.ts'
import type { PlannedClusters } from './plan/unpacking.ts'
import type { ReadBesides } from './proof/image-proof.ts'
import { createUnpackedProof } from './proof/unpacked-proof.ts'
import type { DeployImageDeps } from './request/deploy-request.ts'
import type { ImageOnDisk } from './transfer/image-on-disk.ts'
import { writeTo } from './transfer/sinks.ts'
import { createUnpackSink } from './transfer/unpack-sink.ts'
import { createZeroWriter } from './transfer/zeroes.ts'

export interface StraightImageRequest {
  readonly plan: Plan
  readonly clusters: PlannedClusters
  readonly image: ImageOnDisk
  readonly device: BlockDevice
  /** Read zeros back while others are made. */
  readonly isTrailing: boolean
  /** After it nothing is read from the page cache. */
  readonly dropCache: () => Promise<void>
  readonly progress: ProgressMeter
  readonly signal: AbortSignal
}

/** Disposal ends what is under way; the device must stay open until then. */
export interface StraightImage extends AsyncDisposable {
  /** Aborts with the reason why a zero could not be made. */
  readonly failed: AbortSignal
  /** Resolves when the disk is zero where it has no cluster, but for what is held back. Throws ImageWriteError. */
  filled(): Promise<void>
  /** What readBack has read, and reads in all. */
  readonly zeros: ReadBesides
  /** Nothing of the disk is in a cache: reads the zeros back. Throws ReadBackMismatchError, BlockDeviceError. */
  readBack(): Promise<void>
  /** The file is proved: judges it, its tables and the beginning of its disk. Throws InvalidImage. */
  judge(): Promise<void>
}

/** Begins to make the zeros. */
export function startStraightImage(
  request: StraightImageRequest,
  deps: DeployImageDeps,
): StraightImage {
  const { device, progress, clusters, plan, image } = request
  const ending = new AbortController()
  const failing = new AbortController()
  const signal = anySignal(request.signal, ending.signal)
  const proof = createUnpackedProof({ ...request, zeroesVerify: deps.config.zeroes_verify, signal })
  const filling = fill()
  filling.catch((error: unknown) => failing.abort(error))

  return {
    failed: failing.signal,
    filled: () => filling,
    zeros: proof,
    readBack: () => proof.finish((bytes) => progress.add(bytes)),
    judge,
    [Symbol.asyncDispose]: async () => {
      ending.abort()
      await filling.catch(() => undefined)
      await proof[Symbol.asyncDispose]()
    },
  }

  async function fill(): Promise<void> {
    const zeroes = await createZeroWriter(device, { ...deps, signal })
    const { window } = plan.target
    const sink = createUnpackSink({
      window,
      held: image.held,
      toDisk: proof.sinkTo(writeTo(device)),
      zeroes,
      onZeroed: proof.zeroed,
    })
    let zeroBytes = 0
    for (const { offset, length } of zeroRanges(clusters.map)) {
      signal.throwIfAborted()
      await sink.zero({ offset: window.offset + offset, length })
      zeroBytes += length
    }
    await sink.finish(zeroBytes)
  }

  /** What was known of the file came from a server that may serve two. */
  async function judge(): Promise<void> {
    const { namedFormat, content, sizeBytes: fileBytes } = plan
    const permitted = deps.config.permitted_image_formats
    const { read } = image
    const firstBytes = await read({ offset: 0, length: Math.min(SNIFFED_BYTES, fileBytes) })
    judgeProved(firstBytes, 'qcow2', namedFormat, permitted)
    await requireSameClusters(clusters.map, { read, fileBytes, signal })
    const { area } = image.layout
    const beginning = { offset: area.offset, length: Math.min(SNIFFED_BYTES, area.length) }
    judgeUnpacked(await readBack(beginning), 'qcow2', namedFormat, permitted, content)
  }

  async function readBack({ offset, length }: DiskRange): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    await device.read(offset, bytes)
    image.held.overlay(offset, bytes)
    return bytes
  }
}
