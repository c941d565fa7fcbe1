// SPDX-License-Identifier: Apache-2.0
// Owns the encoding of a qcow2 without compressed clusters: a cluster's bytes lie in the file as they lie on the disk,
// and the rest of the file on a part of the disk that the image does not take. Does not read tables.
import {
  type DiskRange,
  endOf,
  type FileRange,
  intersect,
  rangeOf,
} from '../../../../core/extent.ts'
import type { Layout } from '../../layout.ts'
import type { ClusterMap } from './cluster-map.ts'

/** Bytes of the file that lie together in both places. */
interface Part extends FileRange {
  readonly disk: number
}

/**
 * Where the bytes of the file lie.
 * @param window takes the guest's disk from its first byte on
 * @param rest takes what of the file is part of no cluster, in the order of the file
 * Throws RangeError where either has no room, or they overlap.
 */
export function createClusterLayout(map: ClusterMap, window: DiskRange, rest: DiskRange): Layout {
  const area = { offset: window.offset, length: map.virtualBytes }
  if (area.length > window.length || map.restBytes > rest.length || intersect(area, rest)) {
    throw new RangeError(
      `a disk of ${area.length} bytes and ${map.restBytes} more do not fit into bytes ${window.offset}+${window.length} ` +
        `and ${rest.offset}+${rest.length}`,
    )
  }
  return {
    area,
    place: (extent) =>
      partsOf(rangeOf(extent)).map(({ offset, length, disk }) => {
        const { data, from, sha1 } = extent
        if (length === data.length) return { offset: disk, data, from, ...(sha1 ? { sha1 } : {}) }
        const start = offset - extent.offset
        return { offset: disk, data: data.subarray(start, start + length), from }
      }),
    locate: (range) => partsOf(range).map(({ length, disk }) => ({ offset: disk, length })),
  }

  function partsOf(range: FileRange): Part[] {
    if (range.offset < 0 || endOf(range) > map.fileBytes) {
      throw new RangeError(
        `bytes ${range.offset}+${range.length} are not in a file of ${map.fileBytes}`,
      )
    }
    const parts: Part[] = []
    let at = range.offset
    let index = map.firstEndingAfter(at)
    while (at < endOf(range)) {
      const run = index < map.runCount ? map.run(index) : undefined
      const restEnd = run?.host ?? map.fileBytes
      if (at < restEnd) {
        const length = Math.min(restEnd, endOf(range)) - at
        // counted back from where the rest before this run ends
        parts.push({
          offset: at,
          length,
          disk: rest.offset + map.restBefore(index) - (restEnd - at),
        })
        at += length
      } else if (run) {
        const length = Math.min(run.host + run.length, endOf(range)) - at
        parts.push({ offset: at, length, disk: window.offset + run.guest + (at - run.host) })
        at += length
        index++
      }
    }
    return parts
  }
}
