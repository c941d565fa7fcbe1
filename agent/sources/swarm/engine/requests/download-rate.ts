// SPDX-License-Identifier: Apache-2.0
// Owns the question "do peers still bring anything?": bytes of blocks over the last seconds against the
// best so far and against what the origin could bring. Does not act on the answer.

const WINDOW_MS = 2000
const SLICE_MS = 100
/** Below this share of the best they brought so far, somebody has become slow. */
const PEAK_SHARE = 0.25
/**
 * Below this share of the origin's speed they are not worth waiting for. Small on purpose: an origin
 * that is much faster than a peer must still send each piece about once.
 */
const ORIGIN_SHARE = 0.05
const SILENT_MS = 2000
/** The best so far counts half after this long: conditions change. */
const PEAK_HALF_LIFE_MS = 10_000

export interface DownloadRate {
  /** A block came from a peer. */
  note(bytes: number): void
  /** This node itself was held up: what did not come in meanwhile is nobody's fault. */
  forgive(): void
  /** True if peers bring little or nothing. @param originRate bytes per second */
  isStarving(originRate: number): boolean
}

export function createDownloadRate(now: () => number): DownloadRate {
  /** Bytes per slice of time, oldest first: blocks are too many to remember each. */
  const slices: { readonly at: number; bytes: number }[] = []
  const bornAt = now()
  let windowBytes = 0
  let peakBytes = 0
  let peakAt = bornAt
  let lastAt = bornAt

  function forget(at: number): void {
    while (slices[0] && slices[0].at < at - WINDOW_MS) windowBytes -= slices.shift()?.bytes ?? 0
  }

  function note(bytes: number): void {
    const at = now()
    lastAt = at
    const latest = slices.at(-1)
    if (latest && at - latest.at < SLICE_MS) latest.bytes += bytes
    else slices.push({ at, bytes })
    windowBytes += bytes
    forget(at)
    const faded = fadedPeak(at)
    if (windowBytes >= faded) {
      peakBytes = windowBytes
      peakAt = at
    }
  }

  function fadedPeak(at: number): number {
    return peakBytes * 2 ** ((peakAt - at) / PEAK_HALF_LIFE_MS)
  }

  function forgive(): void {
    lastAt = now()
    peakBytes = 0
  }

  function isStarving(originRate: number): boolean {
    const at = now()
    forget(at)
    if (at - lastAt > SILENT_MS || windowBytes < PEAK_SHARE * fadedPeak(at)) return true
    const isWarm = at - bornAt > WINDOW_MS
    return isWarm && windowBytes < (ORIGIN_SHARE * originRate * WINDOW_MS) / 1000
  }

  return { note, forgive, isStarving }
}
