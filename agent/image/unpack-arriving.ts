// SPDX-License-Identifier: Apache-2.0
// Owns the way of a file that is unpacked while it comes in, to the image that it holds: nothing of it is kept, its
// hash is taken on the way and decides in the end. Does not make the disk bootable.
/// <reference lib="esnext.disposable" />
import { Coverage } from '../core/coverage.ts'
import { throwIfAborted } from '../core/deadline.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import type { EventPublisher } from '../core/events.ts'
import { createHeldBack, type HeldBack } from '../disk/hold-back.ts'
import type { ImageSource } from '../sources/source.ts'
import { SNIFFED_BYTES } from './formats/image-format.ts'
import { judgeProved } from './formats/judge-file.ts'
import { unpackArrivingQcow2 } from './formats/qcow2/arriving/unpack-arriving.ts'
import type { FileChunk, UnpackInOrder } from './formats/unpacker.ts'
import { IN_ORDER } from './formats/unpackers.ts'
import type { Plan } from './plan/plan.ts'
import type { PlannedSource } from './plan/plan-parts.ts'
import type { InOrderUnpacking } from './plan/unpacking.ts'
import type { DeployImageDeps } from './request/deploy-request.ts'
import type { DownloadDeadline } from './request/download-deadline.ts'
import { createInOrderFile, FileRewound, type InOrderFile } from './transfer/in-order-file.ts'
import { transferImage } from './transfer/transfer-image.ts'
import { openUnpackTarget, type UnpackTargetRequest } from './unpack-target.ts'

/** Every signature of a packed file lies in these, and that of a boot sector; a connection may break before. */
const LEAST_JUDGED_BYTES = 512

export interface UnpackArrivingRequest extends Omit<UnpackTargetRequest, 'held'> {
  readonly plan: Plan
  readonly unpacking: InOrderUnpacking
  readonly createSource: (planned: PlannedSource) => ImageSource
  readonly deadline: DownloadDeadline
  readonly events: EventPublisher
}

export interface ArrivedImage {
  /** Bytes that it takes of the window. */
  readonly imageBytes: number
  readonly held: HeldBack
}

/**
 * Fetches and unpacks at the same time. Resolves once the file's hash is the expected one and
 * all of the image is on the disk or held back, and read back. Throws ImageChecksumError for another file, InvalidImage
 * for the right one that does not hold what was asked for, and what sources and target throw.
 */
export async function unpackArriving(
  request: UnpackArrivingRequest,
  deps: DeployImageDeps,
): Promise<ArrivedImage> {
  const { plan } = request
  const file = createInOrderFile(plan.sizeBytes, plan.hash.algo)
  const ending = new AbortController()
  const signal = AbortSignal.any([request.signal, ending.signal])
  const onAbort = () => file.fail(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  // one that came before is told to nobody any more
  if (signal.aborted) onAbort()
  let failure: { readonly error: unknown } | undefined
  // what fails on one side ends the other, and is what is told
  const orEnd = (error: unknown): undefined => {
    failure ??= { error }
    ending.abort(error)
  }
  const [, arrived] = await Promise.all([
    fetchInto(file, { ...request, signal }).catch(orEnd),
    unpackFrom(file, { ...request, signal, onDiskFailure: orEnd }, deps).catch(orEnd),
  ])
  signal.removeEventListener('abort', onAbort)
  throwIfAborted(request.signal)
  if (failure) throw (failure as { readonly error: unknown }).error
  return arrived as ArrivedImage
}

async function fetchInto(file: InOrderFile, request: UnpackArrivingRequest): Promise<void> {
  const source = await transferImage({
    ...request,
    target: {
      coverage: new Coverage(request.plan.sizeBytes),
      sink: file.sink,
      readImage: async () => {
        throw new AgentError('BlockDeviceError', 'the file is not kept', { kind: 'source' })
      },
      covered: () => undefined,
      rewritten: () => undefined,
    },
  })
  await source[Symbol.asyncDispose]()
}

/** Begins anew as often as the file does; its source allows that a few times. */
async function unpackFrom(
  file: InOrderFile,
  request: UnpackArrivingRequest,
  deps: DeployImageDeps,
): Promise<ArrivedImage> {
  let { isTrailing } = request
  for (;;) {
    try {
      return await unpackOnce(file, { ...request, isTrailing }, deps)
    } catch (error) {
      if (!(error instanceof FileRewound)) throw error
      // a program that the kernel holds may still make zeros of the version before: all is read at the end
      isTrailing = false
    }
  }
}

async function unpackOnce(
  file: InOrderFile,
  request: UnpackArrivingRequest,
  deps: DeployImageDeps,
): Promise<ArrivedImage> {
  const { plan, unpacking, window } = request
  // those of a version before may hold what this one leaves zero
  const held = createHeldBack(plan.holdBack)
  await using target = await openUnpackTarget({ ...request, held }, deps)
  let imageBytes = 0
  let refused: { readonly error: unknown } | undefined
  try {
    imageBytes = await unpackerOf(unpacking)({
      chunks: judged(file.chunks(), request, deps),
      fileBytes: plan.sizeBytes,
      window,
      sink: target.sink,
      signal: target.signal,
    })
  } catch (error) {
    // whether the file was made like this, or is another one, shows when all of it is there
    if (!isAgentError(error, 'InvalidImage')) throw error
    refused = { error }
  }
  for await (const _rest of file.chunks());
  requireHash(file, plan)
  if (refused) throw refused.error
  await target.finish(imageBytes)
  return { imageBytes, held }
}

function unpackerOf(unpacking: InOrderUnpacking): UnpackInOrder {
  if (unpacking.format === 'qcow2') return unpackArrivingQcow2(unpacking.clusters)
  return IN_ORDER[unpacking.format]
}

/** Judges the beginning as soon as it is there. Throws InvalidImage for a file of another format than was planned. */
async function* judged(
  chunks: AsyncIterable<FileChunk>,
  { plan, unpacking }: UnpackArrivingRequest,
  { config }: DeployImageDeps,
): AsyncGenerator<FileChunk, void> {
  let beginning = Buffer.alloc(0)
  let isOpen = true
  for await (const chunk of chunks) {
    if (isOpen) {
      const missing = SNIFFED_BYTES - beginning.length
      beginning = Buffer.concat([beginning, chunk.bytes.subarray(0, missing)])
      isOpen = beginning.length < Math.min(LEAST_JUDGED_BYTES, plan.sizeBytes)
      const permitted = config.permitted_image_formats
      if (!isOpen) judgeProved(beginning, unpacking.format, plan.namedFormat, permitted)
    }
    yield chunk
  }
}

function requireHash(file: InOrderFile, { hash, sizeBytes }: Plan): void {
  const found = file.digest()
  if (found === hash.value.toLowerCase()) return
  throw new AgentError(
    'ImageChecksumError',
    `${hash.algo} of the ${sizeBytes} bytes that came is ${found}, image_info says ${hash.value}: the image that is ` +
      'served is not the one that was hashed; check os_hash_value and what the image urls serve',
  )
}
