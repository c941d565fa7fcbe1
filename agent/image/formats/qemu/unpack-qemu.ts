// SPDX-License-Identifier: Apache-2.0
// Owns unpacking what qemu reads for us: runs of data in order, runs of zeros by name. Does not start qemu.
import { throwIfAborted } from '../../../core/deadline.ts'
import { AgentError, isAgentError, messageOf } from '../../../core/errors.ts'
import { MiB } from '../../../core/units.ts'
import { allocateAligned } from '../../../disk/aligned-pool.ts'
import { exec } from '../../../system/exec.ts'
import type { Unpack, UnpackRequest } from '../unpacker.ts'
import type { QemuFormat } from './judge-header.ts'
import type { NbdClient, NbdRun } from './nbd-client.ts'
import { startQemuNbd } from './qemu-nbd.ts'

/** One read; two of these are the memory of it. */
const BLOCK_BYTES = 2 * MiB
/** A run that is asked about at once: NBD counts in 32 bits. */
const ASKED_BYTES = 1024 * MiB

/** Unpacks a file of the format from where it is kept. Throws what startQemuNbd throws, and InvalidImage. */
export function unpackByQemu(format: QemuFormat): Unpack {
  return async (request) => {
    const { keptAt, signal } = request
    await using server = await startQemuNbd(format, keptAt, { exec, signal })
    const { client } = server
    const { window } = request
    if (client.exportBytes > window.length) {
      throw new AgentError(
        'InvalidImage',
        `the ${format} image is a disk of ${client.exportBytes} bytes, there is room for ${window.length}`,
      )
    }
    if (request.virtualBytes !== null && request.virtualBytes !== client.exportBytes) {
      throw new AgentError(
        'InvalidImage',
        `the header of the ${format} image tells a disk of ${request.virtualBytes} bytes, qemu reads ${client.exportBytes}: ` +
          'make it anew (qemu-img convert)',
      )
    }
    try {
      await unpackRuns(client, request)
    } catch (error) {
      throwIfAborted(request.signal)
      if (isAgentError(error)) throw error
      throw new AgentError('InvalidImage', `the ${format} image: ${messageOf(error)}`, {
        cause: error,
      })
    }
    return client.exportBytes
  }
}

async function unpackRuns(client: NbdClient, request: UnpackRequest): Promise<void> {
  const { window, sink, signal } = request
  const buffers = [allocateAligned(BLOCK_BYTES), allocateAligned(BLOCK_BYTES)]
  let turn = 0
  let writing: Promise<void> = Promise.resolve()
  const copy = async (from: number, to: number) => {
    for (let at = from; at < to; ) {
      const block = (buffers[turn++ % 2] as Uint8Array).subarray(0, Math.min(BLOCK_BYTES, to - at))
      throwIfAborted(signal)
      await client.read(at, block)
      // one block is written while the next is read
      await writing
      writing = sink.write({ offset: window.offset + at, data: block, from: 'file' })
      // its failure is met when it is awaited
      writing.catch(() => undefined)
      at += block.length
    }
  }
  for (let at = 0; at < client.exportBytes; ) {
    throwIfAborted(signal)
    const askedBytes = Math.min(ASKED_BYTES, client.exportBytes - at)
    for (const run of merged(await client.runs(at, askedBytes), askedBytes)) {
      if (run.isZero) await sink.zero({ offset: window.offset + at, length: run.length })
      else await copy(at, at + run.length)
      at += run.length
    }
  }
  await writing
}

/** The runs, no longer than what was asked about, neighbours of one kind as one. */
function merged(runs: readonly NbdRun[], maxBytes: number): NbdRun[] {
  const merged: NbdRun[] = []
  let left = maxBytes
  for (const { length, isZero } of runs) {
    const part = Math.min(length, left)
    left -= part
    const last = merged.at(-1)
    if (last?.isZero === isZero) merged[merged.length - 1] = { length: last.length + part, isZero }
    else if (part > 0) merged.push({ length: part, isZero })
  }
  return merged
}
