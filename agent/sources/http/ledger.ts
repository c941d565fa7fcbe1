// SPDX-License-Identifier: Apache-2.0
// Owns what this delivery still has to fetch, and starting over when the image changed on the server.
// Pure.
import { Coverage } from '../../core/coverage.ts'
import { endOf, type FileRange } from '../../core/extent.ts'

export interface Ledger {
  /** Ranges still to fetch, ascending. */
  missing(): FileRange[]
  /** Bytes fetched and written by this delivery. */
  readonly takenBytes: number
  took(range: FileRange): void
  /** Everything this delivery took is of an old image: take it again. */
  restart(): void
}

/**
 * @param missing what was not on the disk when the delivery began; what other sources brought before
 *   stays valid whatever happens here
 */
export function createLedger(totalBytes: number, missing: readonly FileRange[]): Ledger {
  let held = withoutRanges(totalBytes, missing)
  const heldBytesBefore = held.coveredBytes
  return {
    missing: () => held.missing(),
    get takenBytes() {
      return held.coveredBytes - heldBytesBefore
    },
    took: (range) => held.add(range),
    restart: () => {
      held = withoutRanges(totalBytes, missing)
    },
  }
}

function withoutRanges(totalBytes: number, missing: readonly FileRange[]): Coverage {
  const coverage = new Coverage(totalBytes)
  let at = 0
  for (const range of missing) {
    coverage.add({ offset: at, length: range.offset - at })
    at = endOf(range)
  }
  coverage.add({ offset: at, length: totalBytes - at })
  return coverage
}
