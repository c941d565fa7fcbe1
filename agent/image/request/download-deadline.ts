// SPDX-License-Identifier: Apache-2.0
// Owns the one clock of image_download_max_duration: from the first question to a server until the last byte
// is on the disk, whichever sources take part. Does not measure speed.
import type { Coverage } from '../../core/coverage.ts'
import { timerMs } from '../../core/deadline.ts'
import { AgentError } from '../../core/errors.ts'

type Progress = Pick<Coverage, 'coveredBytes' | 'totalBytes'>

/** Disposal stops the clock. */
export interface DownloadDeadline extends Disposable {
  /** Aborts with ImageDownloadTimeoutError. */
  readonly signal: AbortSignal
  /** From now on the error tells how far the image came. */
  watch(progress: Progress): void
}

/**
 * Starts the clock.
 * @param seconds image_download_max_duration; 0 means never
 * @param progress see `watch`; without it the servers are still being asked
 */
export function downloadDeadline(seconds: number, progress?: Progress): DownloadDeadline {
  const controller = new AbortController()
  let watched = progress
  const expire = () => {
    const done = watched
      ? `${watched.coveredBytes} bytes of an image of ${watched.totalBytes} bytes came in ${seconds} s`
      : `hash, size and torrent of the image were not to be had in ${seconds} s`
    controller.abort(
      new AgentError(
        'ImageDownloadTimeoutError',
        `${done}, the limit of image_download_max_duration; raise it, or see what keeps the sources slow`,
      ),
    )
  }
  const timer = seconds > 0 ? setTimeout(expire, timerMs(seconds * 1000)) : undefined
  return {
    signal: controller.signal,
    watch: (next) => {
      watched = next
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  }
}
