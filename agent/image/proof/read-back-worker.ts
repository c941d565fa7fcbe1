// SPDX-License-Identifier: Apache-2.0
// Owns the thread that reads the file's bytes off the disk and hashes them. It has the disk's file descriptor
// and the held-back bytes, and nothing else; read-back.ts starts it and tells it where the bytes lie.
import { read } from 'node:fs'
import { promisify } from 'node:util'
import { parentPort, workerData } from 'node:worker_threads'
import { type DiskRange, endOf } from '../../core/extent.ts'
import { roundDown, roundUp } from '../../core/units.ts'
import { allocateAligned } from '../../disk/aligned-pool.ts'
import { type HeldRange, overlay } from '../../disk/hold-back.ts'
import { createHasher } from '../request/hash-algorithm.ts'

/** Given at the start. */
export interface ReadBackTask {
  readonly fd: number
  /** Reads are whole multiples of this, at multiples of it: the device's logical sector. */
  readonly sectorBytes: number
  readonly algo: string
  /** Size of one read; a multiple of the sector. */
  readonly blockBytes: number
}

/** To the thread: these bytes follow those ordered before. They are on the disk, or among those held back. */
export interface ReadBackOrder {
  readonly ranges: readonly DiskRange[]
  /** What of these ranges is held back. */
  readonly held: readonly HeldRange[]
  /** The end of the file: answer with the digest. */
  readonly isLast: boolean
}

/** From the thread. `fault` ends it. */
export type ReadBackNews =
  | { readonly kind: 'progress'; readonly doneBytes: number }
  | { readonly kind: 'digest'; readonly hex: string }
  | { readonly kind: 'fault'; readonly offset: number; readonly message: string }

const readInto = promisify(read)

/** Reads one block while the one before it is hashed; orders are worked off in turn. */
function serve(port: NonNullable<typeof parentPort>, task: ReadBackTask): void {
  const hash = createHasher(task.algo)
  const buffers = [allocateAligned(task.blockBytes), allocateAligned(task.blockBytes)]
  const tell = (news: ReadBackNews) => port.postMessage(news)
  let doneBytes = 0
  let at = 0
  let turn = 0
  let queue = Promise.resolve()

  const work = async (order: ReadBackOrder) => {
    const blocks = blocksOf(order.ranges, task)
    const readNext = () => {
      const block = blocks.next().value
      return block && readBlock(task, block, buffers[turn++ % 2] as Uint8Array)
    }
    for (let ahead = readNext(); ahead; ) {
      const { offset, bytes } = await ahead
      at = endOf({ offset, length: bytes.length })
      ahead = readNext()
      // its failure is met when it is awaited
      ahead?.catch(() => undefined)
      overlay(order.held, offset, bytes)
      hash.update(bytes)
      doneBytes += bytes.length
      tell({ kind: 'progress', doneBytes })
    }
    if (order.isLast) tell({ kind: 'digest', hex: hash.digest('hex') })
  }
  port.on('message', (order: ReadBackOrder) => {
    queue = queue
      .then(() => work(order))
      .catch((error: unknown) => {
        tell({ kind: 'fault', offset: at, message: String(error) })
        port.close()
      })
  })
}

/** The ranges, cut so that each part fits into a buffer together with the rest of its first sector. */
function* blocksOf(
  ranges: readonly DiskRange[],
  { blockBytes, sectorBytes }: ReadBackTask,
): Generator<DiskRange, undefined> {
  for (const range of ranges) {
    for (let at = range.offset; at < endOf(range); ) {
      const end = Math.min(roundDown(at, sectorBytes) + blockBytes, endOf(range))
      yield { offset: at, length: end - at }
      at = end
    }
  }
}

/** The bytes of one part of the disk; the sectors around them are read whole. */
async function readBlock(
  { fd, sectorBytes }: ReadBackTask,
  { offset, length }: DiskRange,
  buffer: Uint8Array,
): Promise<{ offset: number; bytes: Uint8Array }> {
  const first = roundDown(offset, sectorBytes)
  const skipped = offset - first
  const wanted = roundUp(skipped + length, sectorBytes)
  for (let done = 0; done < skipped + length; ) {
    const { bytesRead } = await readInto(fd, buffer, done, wanted - done, first + done)
    if (bytesRead === 0) throw new Error(`the device ends at ${first + done}`)
    done += bytesRead
  }
  return { offset, bytes: buffer.subarray(skipped, skipped + length) }
}

if (parentPort) serve(parentPort, workerData as ReadBackTask)
