// SPDX-License-Identifier: Apache-2.0
// Owns putting a qcow2 on a disk by the layout of its clusters, as a deploy does it, in extents of any order and size.
// Does not judge the result.
import { AgentError } from '../../../agent/core/errors.ts'
import { endOf, type FileRange } from '../../../agent/core/extent.ts'
import { createClusterLayout } from '../../../agent/image/formats/qcow2/straight/cluster-layout.ts'
import { zeroRanges } from '../../../agent/image/formats/qcow2/straight/cluster-map.ts'
import {
  mapClusters,
  requireSameClusters,
} from '../../../agent/image/formats/qcow2/straight/map-clusters.ts'
import type { Unpack } from '../../../agent/image/formats/unpacker.ts'

/** The file has no layout: this is why. */
export class NotStraightError extends Error {}

/**
 * An Unpack of which only the clusters reach the sink, and the zeros. Throws NotStraightError, and an Error unless every
 * byte of the file can be had back from where it was put.
 */
export const unpackStraight: Unpack = async ({ read, fileBytes, window, sink, signal }) => {
  const map = await mapClusters({ read, fileBytes, signal })
  if ('why' in map) throw new NotStraightError(map.why)
  await requireSameClusters(map, { read, fileBytes, signal })
  if (map.virtualBytes > window.length) {
    throw new AgentError('InvalidImage', `${map.virtualBytes} bytes are too many`)
  }
  const rest = { offset: endOf(window) + 512, length: map.restBytes }
  const layout = createClusterLayout(map, window, rest)
  const kept = new Uint8Array(map.restBytes)
  for (const range of lots(fileBytes)) {
    const data = await read(range)
    const located = layout.locate(range)
    for (const [index, extent] of layout
      .place({ offset: range.offset, data, from: 'file' })
      .entries()) {
      const { offset } = extent
      if (located[index]?.offset !== offset || located[index]?.length !== extent.data.length) {
        throw new Error(`byte ${range.offset}: placed at ${offset}, located elsewhere`)
      }
      if (offset < rest.offset) await sink.write(extent)
      else kept.set(extent.data, offset - rest.offset)
    }
  }
  for (const { offset, length } of zeroRanges(map)) {
    await sink.zero({ offset: window.offset + offset, length })
  }
  return map.virtualBytes
}

/** The file in lots of odd sizes, the last first. */
function lots(fileBytes: number): FileRange[] {
  const ranges: FileRange[] = []
  for (
    let offset = 0, next = 1;
    offset < fileBytes;
    offset += next, next = (next * 7) % 1_000_003
  ) {
    ranges.push({ offset, length: Math.min(next, fileBytes - offset) })
  }
  return ranges.reverse()
}
