// SPDX-License-Identifier: Apache-2.0
// Owns the place of an image that is unpacked: what comes out of a decoder is judged, held back or written, and read
// back in the end. Does not unpack, nor make the disk bootable.
/// <reference lib="esnext.disposable" />
import { isAgentError } from '../core/errors.ts'
import type { DiskRange } from '../core/extent.ts'
import type { BlockDevice } from '../disk/block-device.ts'
import type { HeldBack } from '../disk/hold-back.ts'
import type { ProgressMeter } from '../telemetry/progress-meter.ts'
import type { UnpackSink } from './formats/unpacker.ts'
import { createUnpackedProof } from './proof/unpacked-proof.ts'
import type { DeployImageDeps } from './request/deploy-request.ts'
import { writeTo } from './transfer/sinks.ts'
import { createUnpackSink, judgeBeginning } from './transfer/unpack-sink.ts'
import { createZeroWriter } from './transfer/zeroes.ts'

export interface UnpackTargetRequest {
  /** What may be taken of the disk. */
  readonly window: DiskRange
  /** Judges the beginning of what is unpacked. Throws InvalidImage. */
  readonly judge: (firstBytes: Uint8Array) => void
  /** Takes what of the image is held back. */
  readonly held: HeldBack
  readonly device: BlockDevice
  /** After it nothing is read from the page cache. */
  readonly dropCache: () => Promise<void>
  /** Read the beginning back while the rest is unpacked. */
  readonly isTrailing: boolean
  /** Hears at once of a disk that fails: who unpacks may be waiting for a server meanwhile. */
  readonly onDiskFailure?: (error: unknown) => void
  readonly progress: ProgressMeter
  readonly signal: AbortSignal
}

/**
 * Disposal ends what still reads and writes, and waits for it: nothing of this image reaches the disk afterwards. The
 * device must stay open until then.
 */
export interface UnpackTarget extends AsyncDisposable {
  readonly sink: UnpackSink
  /** Aborted by disposal too. */
  readonly signal: AbortSignal
  /**
   * All of the image was handed over, so many bytes: resolves when it is on the disk or held back, and read back. Throws
   * InvalidImage for an image that is not of what was asked for, ReadBackMismatchError, ImageWriteError, BlockDeviceError.
   */
  finish(imageBytes: number): Promise<void>
}

/** Nothing of the image is there yet. */
export async function openUnpackTarget(
  request: UnpackTargetRequest,
  { exec, root, log, config }: DeployImageDeps,
): Promise<UnpackTarget> {
  const { window, judge, held, device, progress } = request
  const ending = new AbortController()
  const signal = AbortSignal.any([request.signal, ending.signal])
  const zeroes = await createZeroWriter(device, { exec, root, log, signal })
  const proof = createUnpackedProof({ ...request, zeroesVerify: config.zeroes_verify, signal })
  const placed = createUnpackSink({
    window,
    held,
    toDisk: proof.sinkTo(writeTo(device)),
    zeroes,
    onZeroed: proof.zeroed,
  })
  const sink = judgeBeginning(placed, window, judge)
  const entrance = createEntrance(sink, signal, request.onDiskFailure)
  return {
    sink: entrance.sink,
    signal,
    finish: async (imageBytes) => {
      await sink.finish(imageBytes)
      await device.sync()
      await request.dropCache()
      progress.begin('read-back', proof.totalBytes, { done: proof.doneBytes })
      await proof.finish((bytes) => progress.add(bytes))
    },
    [Symbol.asyncDispose]: async () => {
      ending.abort()
      await entrance.idle()
      await proof[Symbol.asyncDispose]()
    },
  }
}

/** Lets nothing in once its target ends, and knows what is inside. */
function createEntrance(
  next: UnpackSink,
  signal: AbortSignal,
  onDiskFailure: UnpackTargetRequest['onDiskFailure'],
) {
  const inside = new Set<Promise<void>>()
  const tell = (error: unknown) => {
    // what is wrong with the image, its hash decides; what ends with the target is no failure
    if (!signal.aborted && !isAgentError(error, 'InvalidImage')) onDiskFailure?.(error)
  }
  const enter = async (work: () => Promise<void>) => {
    signal.throwIfAborted()
    const working = work()
    const done = working.catch(tell).finally(() => inside.delete(done))
    inside.add(done)
    await working
  }
  const sink: UnpackSink = {
    write: (extent) => enter(() => next.write(extent)),
    zero: (range) => enter(() => next.zero(range)),
  }
  return {
    sink,
    idle: async () => {
      await Promise.all(inside)
    },
  }
}
