// SPDX-License-Identifier: Apache-2.0
// Owns the loops around pread and pwrite: everything is transferred, or an error says what was not.
// Does not align anything; disk/block-device.ts does.
import type { FileHandle } from 'node:fs/promises'
import { AgentError, isAgentError, messageOf, systemErrorCode } from '../core/errors.ts'
import { roundDown } from '../core/units.ts'
import type { IoWatch } from './io-watch.ts'

/** An open file with what its transfers need to know. */
export interface TransferTarget {
  readonly handle: FileHandle
  readonly path: string
  /** A short transfer is resumed at a multiple of this: O_DIRECT takes no other offset. Bytes. */
  readonly unitBytes: number
  readonly watch: IoWatch
}

/**
 * Fills `into` from `offset` on; returns the bytes read, fewer only at the end of a regular file.
 * Throws BlockDeviceError.
 */
export async function preadFully(
  target: TransferTarget,
  offset: number,
  into: Uint8Array,
): Promise<number> {
  let done = 0
  try {
    while (done < into.length) {
      const [at, left] = [done, into.length - done]
      const { bytesRead } = await target.watch.run(
        { type: 'BlockDeviceError', what: `read of ${left} bytes at offset ${offset + at}` },
        () => target.handle.read(into, at, left, offset + at),
      )
      const reached = done + bytesRead
      const next = reached === into.length ? reached : roundDown(reached, target.unitBytes)
      if (next <= done) return reached
      done = next
    }
    return done
  } catch (error) {
    const part = { path: target.path, offset: offset + done, length: into.length - done }
    throw transferError({ type: 'BlockDeviceError', verb: 'read', ...part }, error)
  }
}

/** Writes all of `data` at `offset`. Throws ImageWriteError. */
export async function pwriteFully(
  target: TransferTarget,
  offset: number,
  data: Uint8Array,
): Promise<void> {
  let done = 0
  try {
    while (done < data.length) {
      const [at, left] = [done, data.length - done]
      const { bytesWritten } = await target.watch.run(
        { type: 'ImageWriteError', what: `write of ${left} bytes at offset ${offset + at}` },
        () => target.handle.write(data, at, left, offset + at),
      )
      const reached = done + bytesWritten
      const next = reached === data.length ? reached : roundDown(reached, target.unitBytes)
      if (next <= done) throw new Error(`the kernel took ${bytesWritten} of ${left} bytes`)
      done = next
    }
  } catch (error) {
    const part = { path: target.path, offset: offset + done, length: data.length - done }
    throw transferError({ type: 'ImageWriteError', verb: 'write', ...part }, error)
  }
}

/** What was to be transferred: bytes of the device at `path`. */
export interface FailedTransfer {
  readonly type: 'BlockDeviceError' | 'ImageWriteError'
  readonly verb: 'read' | 'write' | 'fsync'
  readonly path: string
  readonly offset: number
  readonly length: number
}

/** The error of a failed transfer, with device, place and errno; that of the watch as it is. */
export function transferError(
  { type, verb, path, offset, length }: FailedTransfer,
  cause: unknown,
): AgentError {
  if (isAgentError(cause)) return cause
  const errno = systemErrorCode(cause)
  const advice: Record<string, string> = {
    EIO: 'the disk or the path to it fails; see dmesg',
    ENOSPC: 'the storage behind the device is full',
    EROFS: 'the device is read-only',
    EPERM: 'the device is read-only or write-protected',
    ENXIO: 'the device has gone away',
    ENODEV: 'the device has gone away',
  }
  const hint = errno === undefined ? undefined : advice[errno]
  return new AgentError(
    type,
    `${verb} of ${length} bytes at offset ${offset} of ${path} failed with ${errno ?? 'no errno'}: ` +
      `${messageOf(cause)}${hint ? `; ${hint}` : ''}`,
    { cause },
  )
}
