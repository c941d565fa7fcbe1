// SPDX-License-Identifier: Apache-2.0
// Owns noticing that nothing moves on a connection: the peer is powered off, cut off by a switch, or does not read.
// Does not close the connection.

/** BEP 3: whoever lives says something every two minutes. */
export const SILENT_MS = 180_000
/** What is sent is read by then, however busy the peer is. */
export const UNREAD_MS = 60_000
const LOOK_MS = 30_000

export interface SilenceWatch {
  /** Something moved. */
  heard(): void
  stop(): void
}

/**
 * @param onSilent called once
 * @param isIdle nothing is expected to move
 */
export function watchSilence(
  limitMs: number,
  onSilent: () => void,
  isIdle: () => boolean = () => false,
): SilenceWatch {
  let silentMs = 0
  let lookedAt = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    // what came while this process was held up has not been read yet
    silentMs = isIdle() ? 0 : silentMs + Math.min(now - lookedAt, LOOK_MS)
    lookedAt = now
    if (silentMs < limitMs) return
    clearInterval(timer)
    onSilent()
  }, LOOK_MS)
  timer.unref()
  return {
    heard: () => {
      silentMs = 0
    },
    stop: () => clearInterval(timer),
  }
}
