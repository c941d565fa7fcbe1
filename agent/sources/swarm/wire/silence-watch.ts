// SPDX-License-Identifier: Apache-2.0
// Owns noticing that a peer has gone without a word: powered off, or cut off by a switch. Does not close
// the connection.

/** BEP 3: whoever lives says something every two minutes. */
const SILENT_MS = 180_000
const LOOK_MS = 30_000

export interface SilenceWatch {
  /** Something came from the peer. */
  heard(): void
  stop(): void
}

/** @param onSilent called once */
export function watchSilence(onSilent: () => void): SilenceWatch {
  let silentMs = 0
  let lookedAt = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    // what came while this process was held up has not been read yet
    silentMs += Math.min(now - lookedAt, LOOK_MS)
    lookedAt = now
    if (silentMs < SILENT_MS) return
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
