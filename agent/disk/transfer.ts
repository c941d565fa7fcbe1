// SPDX-License-Identifier: Apache-2.0
// Owns the loops around pread and pwrite: everything is transferred, or an error says what was not.
// Does not align anything; disk/block-device.ts does.
import type { FileHandle } from 'node:fs/promises'
import { AgentError, messageOf, systemErrorCode } from '../core/errors.ts'
import { roundDown } from '../core/units.ts'

/** An open file with what its transfers need to know. */
export interface TransferTarget {
  readonly handle: FileHandle
  readonly path: string
  /** A short transfer is resumed at a multiple of this: O_DIRECT takes no other offset. Bytes. */
  readonly unitBytes: number
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
      const { bytesRead } = await target.handle.read(into, done, into.length - done, offset + done)
      const reached = done + bytesRead
      const next = reached === into.length ? reached : roundDown(reached, target.unitBytes)
      if (next <= done) return reached
      done = next
    }
    return done
  } catch (error) {
    throw transferError(
      'BlockDeviceError',
      'read',
      target.path,
      offset + done,
      into.length - done,
      error,
    )
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
      const left = data.length - done
      const { bytesWritten } = await target.handle.write(data, done, left, offset + done)
      const reached = done + bytesWritten
      const next = reached === data.length ? reached : roundDown(reached, target.unitBytes)
      if (next <= done) throw new Error(`the kernel took ${bytesWritten} of ${left} bytes`)
      done = next
    }
  } catch (error) {
    throw transferError(
      'ImageWriteError',
      'write',
      target.path,
      offset + done,
      data.length - done,
      error,
    )
  }
}

/** The error of a failed transfer, with device, place and errno. */
export function transferError(
  type: 'BlockDeviceError' | 'ImageWriteError',
  verb: string,
  path: string,
  offset: number,
  length: number,
  cause: unknown,
): AgentError {
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
