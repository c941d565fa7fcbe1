// SPDX-License-Identifier: Apache-2.0
// Owns page-aligned memory for O_DIRECT: pools of it, and the test for it. Does no I/O.
import type { BufferPool, PooledBuffer } from '../core/extent.ts'

/**
 * Page-aligned zeroed memory. O_DIRECT wants the address at a multiple of the sector size (open(2)).
 * V8 reserves resizable buffers by whole pages; plain ones come from malloc and start anywhere.
 */
export function allocateAligned(bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(bytes, { maxByteLength: bytes }))
}

/** The same, which threads share. */
export function allocateShared(bytes: number): Uint8Array<SharedArrayBuffer> {
  return new Uint8Array(new SharedArrayBuffer(bytes, { maxByteLength: bytes }))
}

/**
 * True if the memory of `bytes` starts at a multiple of `unitBytes`. JavaScript cannot see an address,
 * so only memory of {@link allocateAligned}'s kind counts, and its shared kin (growable); openBlockDevice
 * proves it by a trial read.
 */
export function isAligned(bytes: Uint8Array, unitBytes = 512): boolean {
  const { buffer } = bytes
  const isByPages = buffer instanceof ArrayBuffer ? buffer.resizable : buffer.growable
  return isByPages && bytes.byteOffset % unitBytes === 0
}

interface Waiter {
  resolve(buffer: PooledBuffer): void
}

/** A pool of at most `count` page-aligned buffers, allocated when first needed, handed out in turn. */
export function createAlignedPool(options: { bufferBytes: number; count: number }): BufferPool {
  const { bufferBytes, count } = options
  const free: Uint8Array<ArrayBuffer>[] = []
  const waiters = new Set<Waiter>()
  let allocated = 0

  const lend = (bytes: Uint8Array<ArrayBuffer>): PooledBuffer => {
    let isLent = true
    return {
      bytes,
      release: () => {
        if (!isLent) return
        isLent = false
        const [next] = waiters
        if (next === undefined) free.push(bytes)
        else next.resolve(lend(bytes))
      },
    }
  }

  return {
    bufferBytes,
    acquire: async (signal) => {
      signal?.throwIfAborted()
      const bytes = free.pop()
      if (bytes !== undefined) return lend(bytes)
      if (allocated < count) {
        allocated++
        return lend(allocateAligned(bufferBytes))
      }
      return await waitForRelease(waiters, signal)
    },
  }
}

function waitForRelease(
  waiters: Set<Waiter>,
  signal: AbortSignal | undefined,
): Promise<PooledBuffer> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      waiters.delete(waiter)
      reject(signal?.reason)
    }
    const waiter: Waiter = {
      resolve: (buffer) => {
        waiters.delete(waiter)
        signal?.removeEventListener('abort', onAbort)
        resolve(buffer)
      },
    }
    waiters.add(waiter)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
