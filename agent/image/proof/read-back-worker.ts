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
import { inTurn } from './in-turn.ts'

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

/** One is hashed, the others are read: a disk that is asked for one at a time idles in between. */
const BUFFERS = 4

interface Block extends DiskRange {
  readonly order: ReadBackOrder
}

/** Reads some blocks while the one before them is hashed; orders are worked off in turn. */
function serve(port: NonNullable<typeof parentPort>, task: ReadBackTask): void {
  const hash = createHasher(task.algo)
  const buffers = Array.from({ length: BUFFERS }, () => allocateAligned(task.blockBytes))
  const tell = (news: ReadBackNews) => port.postMessage(news)
  const orders: Generator<Block, undefined>[] = []
  let doneBytes = 0
  let at = 0
  let isWorking = false

  const nextBlock = (): Block | undefined => {
    while (orders[0]) {
      const block = orders[0].next().value
      if (block) return block
      orders.shift()
    }
    return undefined
  }
  const readNext = (slot: number) => {
    const block = nextBlock()
    return block && readBlock(task, block, buffers[slot] as Uint8Array)
  }
  const work = async () => {
    for await (const { block, bytes } of inTurn(BUFFERS, readNext)) {
      at = endOf(block)
      overlay(block.order.held, block.offset, bytes)
      hash.update(bytes)
      doneBytes += bytes.length
      if (isEndOf(block)) tell({ kind: 'digest', hex: hash.digest('hex') })
      else tell({ kind: 'progress', doneBytes })
    }
    isWorking = false
  }
  port.on('message', (order: ReadBackOrder) => {
    orders.push(blocksOf(order, task))
    if (isWorking) return
    isWorking = true
    work().catch((error: unknown) => {
      tell({ kind: 'fault', offset: at, message: String(error) })
      port.close()
    })
  })
}

/**
 * The ranges, cut so that each part fits into a buffer together with the rest of its first sector; behind the last
 * order's an empty one.
 */
function* blocksOf(
  order: ReadBackOrder,
  { blockBytes, sectorBytes }: ReadBackTask,
): Generator<Block, undefined> {
  for (const range of order.ranges) {
    for (let at = range.offset; at < endOf(range); ) {
      const end = Math.min(roundDown(at, sectorBytes) + blockBytes, endOf(range))
      yield { order, offset: at, length: end - at }
      at = end
    }
  }
  if (order.isLast) yield { order, offset: 0, length: 0 }
}

function isEndOf({ order, length }: Block): boolean {
  return order.isLast && length === 0
}

interface ReadBlock {
  readonly block: Block
  readonly bytes: Uint8Array
}

/** The bytes of one part of the disk; the sectors around them are read whole. */
async function readBlock(
  { fd, sectorBytes }: ReadBackTask,
  block: Block,
  buffer: Uint8Array,
): Promise<ReadBlock> {
  const { offset, length } = block
  const first = roundDown(offset, sectorBytes)
  const skipped = offset - first
  const wanted = roundUp(skipped + length, sectorBytes)
  for (let done = 0; done < skipped + length; ) {
    const { bytesRead } = await readInto(fd, buffer, done, wanted - done, first + done)
    if (bytesRead === 0) throw new Error(`the device ends at ${first + done}`)
    done += bytesRead
  }
  return { block, bytes: buffer.subarray(skipped, skipped + length) }
}

if (parentPort) serve(parentPort, workerData as ReadBackTask)
