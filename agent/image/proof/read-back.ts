// SPDX-License-Identifier: Apache-2.0
// Owns reading the file back from the disk and its digest, in a thread of its own so that heartbeats and
// peers are served meanwhile. Does not decide what a wrong digest means; image-proof.ts does.
import { Worker } from 'node:worker_threads'
import { endedOrLate } from '../../core/deadline.ts'
import { AgentError, toAgentError } from '../../core/errors.ts'
import { type DiskRange, endOf, intersect } from '../../core/extent.ts'
import { MiB, roundDown } from '../../core/units.ts'
import type { BlockDevice } from '../../disk/block-device.ts'
import type { HeldRange } from '../../disk/hold-back.ts'
import type { Layout } from '../formats/layout.ts'
import type { ReadBackNews, ReadBackOrder, ReadBackTask } from './read-back-worker.ts'

/** One read. Four of these are the thread's image memory. */
const BLOCK_BYTES = MiB
/** Of the file, told to the thread at once: it may lie in as many places as it has sectors. */
const PORTION_BYTES = 16 * MiB
/** How long the end of the thread is waited for, ms: on a crowded machine it takes seconds. */
const TERMINATE_MS = 30_000

export interface ReadBack extends AsyncDisposable {
  /** Bytes read and hashed. */
  readonly doneBytes: number
  /** Bytes of the file below this have been ordered; nothing may write them any more. */
  readonly orderedBytes: number
  /**
   * Bytes of the file below `toBytes` are on the disk or held back: they may be read. Rounded down to whole
   * blocks; smaller values than before do nothing.
   */
  advance(toBytes: number, held: readonly HeldRange[]): void
  /**
   * The lower-case hex digest of the whole file. Throws BlockDeviceError when the disk cannot be read,
   * or the reason of `signal`.
   */
  finish(totalBytes: number, held: readonly HeldRange[], signal: AbortSignal): Promise<string>
}

export interface ReadBackOptions {
  /** Must stay open until disposal. Its deadline is that of a block. */
  readonly device: Pick<BlockDevice, 'fd' | 'geometry' | 'timeoutMs'>
  readonly algo: string
  /** Where the bytes of the file lie. */
  readonly layout: Layout
  /** Bytes read and hashed since the last call. */
  onProgress(bytes: number): void
}

/** Starts the thread; disposal ends it. */
export function createReadBack(options: ReadBackOptions): ReadBack {
  const { device, algo, layout, onProgress } = options
  const { timeoutMs } = device
  const task: ReadBackTask = {
    fd: device.fd,
    sectorBytes: device.geometry.logicalSectorBytes,
    algo,
    blockBytes: BLOCK_BYTES,
  }
  const worker = new Worker(new URL('./read-back-worker.ts', import.meta.url), {
    workerData: task,
    // image bytes live outside of the heap; the thread itself needs little
    resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 },
  })
  const digest = Promise.withResolvers<string>()
  // a fault while the image is still coming in is thrown by finish()
  digest.promise.catch(() => undefined)
  let held: readonly HeldRange[] = []
  let doneBytes = 0
  let orderedBytes = 0
  let sentBytes = 0
  let isLastOrdered = false

  let silence: NodeJS.Timeout | undefined
  const listen = (isOwed: boolean) => {
    clearTimeout(silence)
    if (!isOwed || timeoutMs === 0) return
    silence = setTimeout(() => {
      const why = `no block came for ${timeoutMs / 1000} s (the limit is disk_timeout): it hangs`
      digest.reject(readError(device, doneBytes, why))
    }, timeoutMs)
  }
  worker.on('message', (news: ReadBackNews) => {
    if (news.kind === 'digest') digest.resolve(news.hex)
    else if (news.kind === 'fault') digest.reject(readError(device, news.offset, news.message))
    else {
      onProgress(news.doneBytes - doneBytes)
      doneBytes = news.doneBytes
      listen(doneBytes < orderedBytes)
      send()
    }
  })
  worker.on('error', (error) => digest.reject(toAgentError(error)))
  worker.on('exit', () => digest.reject(readError(device, doneBytes, 'the reading thread ended')))

  /** A portion that is worked on and one ahead. */
  const send = () => {
    while (sentBytes < orderedBytes && sentBytes - doneBytes <= PORTION_BYTES) {
      const length = Math.min(PORTION_BYTES, orderedBytes - sentBytes)
      const ranges = layout.locate({ offset: sentBytes, length })
      sentBytes += length
      const isLast = isLastOrdered && sentBytes === orderedBytes
      worker.postMessage({ ranges, held: heldIn(ranges, held), isLast } satisfies ReadBackOrder)
    }
  }
  const order = (toBytes: number, kept: readonly HeldRange[], isLast: boolean) => {
    // the clock runs from the first block that is owed
    if (doneBytes === orderedBytes) listen(true)
    orderedBytes = toBytes
    held = kept
    isLastOrdered = isLast
    if (isLast && sentBytes === toBytes) {
      worker.postMessage({ ranges: [], held: [], isLast } satisfies ReadBackOrder)
    }
    send()
  }
  return {
    get doneBytes() {
      return doneBytes
    },
    get orderedBytes() {
      return orderedBytes
    },
    advance: (toBytes, held) => {
      const wholeBytes = roundDown(toBytes, BLOCK_BYTES)
      if (wholeBytes > orderedBytes) order(wholeBytes, held, false)
    },
    finish: (totalBytes, held, signal) => {
      order(totalBytes, held, true)
      return untilAborted(digest.promise, signal)
    },
    [Symbol.asyncDispose]: async () => {
      clearTimeout(silence)
      // a thread with a read that hangs does not end before it; it holds its two blocks until then
      await endedOrLate(worker.terminate(), TERMINATE_MS)
    },
  }
}

/** Only what lies in the ranges: what of the others is held back may not have come yet. */
function heldIn(ranges: readonly DiskRange[], held: readonly HeldRange[]): HeldRange[] {
  return held.flatMap(({ offset, bytes }) => {
    const range = { offset, length: bytes.length }
    return ranges.flatMap((other) => {
      const shared = intersect(range, other)
      if (!shared) return []
      return [
        {
          offset: shared.offset,
          bytes: bytes.slice(shared.offset - offset, endOf(shared) - offset),
        },
      ]
    })
  })
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const outcome = Promise.withResolvers<T>()
  const onAbort = () => outcome.reject(signal.reason)
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  work.then(outcome.resolve, outcome.reject)
  return outcome.promise.finally(() => signal.removeEventListener('abort', onAbort))
}

function readError(
  device: Pick<BlockDevice, 'geometry'>,
  offset: number,
  reason: string,
): AgentError {
  return new AgentError(
    'BlockDeviceError',
    `reading ${device.geometry.path} back failed near byte ${offset}: ${reason}; ` +
      'the disk or the path to it is suspect',
  )
}
