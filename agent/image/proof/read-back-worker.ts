// SPDX-License-Identifier: Apache-2.0
// Owns the thread that reads the image off the disk and hashes it. It has the disk's file descriptor and
// the held-back bytes, and nothing else; read-back.ts starts it and judges its digest.
import { read } from 'node:fs'
import { promisify } from 'node:util'
import { parentPort, workerData } from 'node:worker_threads'
import { roundUp } from '../../core/units.ts'
import { allocateAligned } from '../../disk/aligned-pool.ts'
import { type HeldRange, overlay } from '../../disk/hold-back.ts'
import { createHasher } from '../request/checksum.ts'

/** Given at the start. */
export interface ReadBackTask {
  readonly fd: number
  /** Reads are whole multiples of this, at multiples of it: the device's logical sector. */
  readonly sectorBytes: number
  readonly algo: string
  /** Size of one read; a multiple of the sector. */
  readonly blockBytes: number
}

/** To the thread: image bytes below `toBytes` are on the disk, or among the held-back bytes sent so far. */
export interface ReadBackOrder {
  readonly toBytes: number
  readonly held: readonly HeldRange[]
  /** `toBytes` is the length of the image: answer with the digest. */
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
  const held: HeldRange[] = []
  const tell = (news: ReadBackNews) => port.postMessage(news)
  let at = 0
  let turn = 0
  let queue = Promise.resolve()

  /** Reads one block ahead; an empty one behind the end. */
  const readBlock = async (offset: number, end: number): Promise<Uint8Array> => {
    const buffer = buffers[turn++ % 2] as Uint8Array
    const block = buffer.subarray(0, Math.max(0, Math.min(task.blockBytes, end - offset)))
    await readWhole(task, offset, block.length, buffer)
    return block
  }
  const work = async (order: ReadBackOrder) => {
    held.push(...order.held)
    let ahead = readBlock(at, order.toBytes)
    while (at < order.toBytes) {
      const block = await ahead
      const offset = at
      at += block.length
      ahead = readBlock(at, order.toBytes)
      // its failure is met when it is awaited
      ahead.catch(() => undefined)
      overlay(held, offset, block)
      hash.update(block)
      tell({ kind: 'progress', doneBytes: at })
    }
    await ahead
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

/** Fills `buffer` with `length` bytes from `offset`; the sectors around them are read whole. */
async function readWhole(
  task: ReadBackTask,
  offset: number,
  length: number,
  buffer: Uint8Array,
): Promise<void> {
  const wanted = roundUp(length, task.sectorBytes)
  for (let done = 0; done < length; ) {
    const { bytesRead } = await readInto(task.fd, buffer, done, wanted - done, offset + done)
    if (bytesRead === 0) throw new Error(`the device ends at ${offset + done}`)
    done += bytesRead
  }
}

if (parentPort) serve(parentPort, workerData as ReadBackTask)
