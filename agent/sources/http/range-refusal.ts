// SPDX-License-Identifier: Apache-2.0
// Owns what to make of a failed Range request: servers, and what stands before them, refuse ranges in many
// ways, and a plain GET brings the image all the same. Sends nothing.
import { HttpFailure } from '../../http/failure.ts'
import { BadAnswer } from './answer.ts'
import { type ImageUrl, reasonOf } from './url-rotation.ts'

/** No range is to blame: credentials are wanted, or there is no such image. */
const NOT_OF_RANGES: ReadonlySet<number> = new Set([401, 404, 410])
/** Of a server that wants to be left alone for a while: it may mean the range, too. */
const OF_HASTE: ReadonlySet<number> = new Set([408, 425, 429, 503, 504])

/**
 * Notes on the url how it is to be asked next: for the whole image after a Range request that brought
 * nothing, by Range again after a plain one that failed. So no url stays without ranges for one bad day, and
 * each change but the first of a pair uses up a retry.
 * @returns true if it is to be asked at once: it refused the range and not the image
 */
export function turnsToWhole(url: ImageUrl, error: unknown): boolean {
  if (url.isWholeOnly) {
    url.isWholeOnly = false
    return false
  }
  const blame = blameOf(error)
  if (blame === 'none') return false
  url.isWholeOnly = true
  url.rangeRefusal = reasonOf(error)
  return blame === 'range'
}

function blameOf(error: unknown): 'range' | 'perhaps' | 'none' {
  if (error instanceof BadAnswer) {
    if (NOT_OF_RANGES.has(error.httpStatus)) return 'none'
    return OF_HASTE.has(error.httpStatus) ? 'perhaps' : 'range'
  }
  if (!(error instanceof HttpFailure)) return 'none'
  if (error.reason === 'timeout') return 'perhaps'
  return ['reset', 'short', 'protocol'].includes(error.reason) ? 'range' : 'none'
}
