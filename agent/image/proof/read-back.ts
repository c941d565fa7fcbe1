// SPDX-License-Identifier: Apache-2.0
// Owns reading the file back from the disk and its digest, in a thread of its own so that heartbeats and
// peers are served meanwhile. Does not decide what a wrong digest means; image-proof.ts does.
import { Worker } from 'node:worker_threads'
import { endedOrLate, timerMs } from '../../core/deadline.ts'
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
  return new ThreadedReadBack(options)
}

class ThreadedReadBack implements ReadBack {
  readonly #options: ReadBackOptions
  readonly #worker: Worker
  readonly #digest = Promise.withResolvers<string>()
  #held: readonly HeldRange[] = []
  #doneBytes = 0
  #orderedBytes = 0
  #sentBytes = 0
  #isLastOrdered = false
  /** Runs while a block is owed. */
  #silence: NodeJS.Timeout | undefined

  constructor(options: ReadBackOptions) {
    const { device, algo } = options
    const task: ReadBackTask = {
      fd: device.fd,
      sectorBytes: device.geometry.logicalSectorBytes,
      algo,
      blockBytes: BLOCK_BYTES,
    }
    this.#options = options
    this.#worker = new Worker(new URL('./read-back-worker.ts', import.meta.url), {
      workerData: task,
      // image bytes live outside of the heap; the thread itself needs little
      resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 },
    })
    // a fault while the image is still coming in is thrown by finish()
    this.#digest.promise.catch(() => undefined)
    this.#worker.on('message', (news: ReadBackNews) => this.#onNews(news))
    this.#worker.on('error', (error) => this.#digest.reject(toAgentError(error)))
    this.#worker.on('exit', () => this.#fail(this.#doneBytes, 'the reading thread ended'))
  }

  get doneBytes(): number {
    return this.#doneBytes
  }

  get orderedBytes(): number {
    return this.#orderedBytes
  }

  advance(toBytes: number, held: readonly HeldRange[]): void {
    const wholeBytes = roundDown(toBytes, BLOCK_BYTES)
    if (wholeBytes > this.#orderedBytes) this.#order(wholeBytes, held, false)
  }

  finish(totalBytes: number, held: readonly HeldRange[], signal: AbortSignal): Promise<string> {
    this.#order(totalBytes, held, true)
    return untilAborted(this.#digest.promise, signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#silence)
    // a thread with a read that hangs does not end before it; it holds its two blocks until then
    await endedOrLate(this.#worker.terminate(), TERMINATE_MS)
  }

  #order(toBytes: number, held: readonly HeldRange[], isLast: boolean): void {
    // the clock runs from the first block that is owed
    if (this.#doneBytes === this.#orderedBytes) this.#listen(true)
    this.#orderedBytes = toBytes
    this.#held = held
    this.#isLastOrdered = isLast
    if (isLast && this.#sentBytes === toBytes) this.#post({ ranges: [], held: [], isLast })
    this.#send()
  }

  /** A portion that is worked on and one ahead. */
  #send(): void {
    const isAhead = () => this.#sentBytes - this.#doneBytes > PORTION_BYTES
    while (this.#sentBytes < this.#orderedBytes && !isAhead()) {
      const length = Math.min(PORTION_BYTES, this.#orderedBytes - this.#sentBytes)
      const ranges = this.#options.layout.locate({ offset: this.#sentBytes, length })
      this.#sentBytes += length
      const isLast = this.#isLastOrdered && this.#sentBytes === this.#orderedBytes
      this.#post({ ranges, held: heldIn(ranges, this.#held), isLast })
    }
  }

  #post(order: ReadBackOrder): void {
    this.#worker.postMessage(order)
  }

  #onNews(news: ReadBackNews): void {
    if (news.kind === 'digest') this.#digest.resolve(news.hex)
    else if (news.kind === 'fault') this.#fail(news.offset, news.message)
    else {
      this.#options.onProgress(news.doneBytes - this.#doneBytes)
      this.#doneBytes = news.doneBytes
      this.#listen(this.#doneBytes < this.#orderedBytes)
      this.#send()
    }
  }

  #listen(isOwed: boolean): void {
    const { timeoutMs } = this.#options.device
    clearTimeout(this.#silence)
    if (!isOwed || timeoutMs === 0) return
    this.#silence = setTimeout(() => {
      const why = `no block came for ${timeoutMs / 1000} s (the limit is disk_timeout): it hangs`
      this.#fail(this.#doneBytes, why)
    }, timerMs(timeoutMs))
  }

  #fail(offset: number, reason: string): void {
    this.#digest.reject(readError(this.#options.device, offset, reason))
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
