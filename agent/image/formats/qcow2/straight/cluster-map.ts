// SPDX-License-Identifier: Apache-2.0
// Owns where the clusters of a qcow2 lie, in its file and on its disk, in columns: a run of either is a few bytes of
// memory. Does not read tables.
import { type ByteRange, type FileRange, intersect } from '../../../../core/extent.ts'

/** Runs at most: 16 MiB of columns. A disk of 32 GiB whose clusters of 64 KiB follow each other nowhere has as many. */
export const MOST_RUNS = 2 ** 19

/** A run of bytes that is the same in the file and on the guest's disk. */
export interface ClusterRun {
  /** In the file. */
  readonly host: number
  /** On the guest's disk. */
  readonly guest: number
  readonly length: number
}

/** Runs by their place in the file, disjoint in both places. Every other byte of the guest's disk is zero. */
export interface ClusterMap {
  readonly fileBytes: number
  /** Of the guest's disk. */
  readonly virtualBytes: number
  readonly runCount: number
  run(index: number): ClusterRun
  /** The first run that ends after this byte of the file; `runCount` for none. */
  firstEndingAfter(host: number): number
  /** Bytes of the file that lie before the run and are part of no run. */
  restBefore(index: number): number
  /** Bytes of the file that are part of no run: header, tables, clusters nobody refers to, what follows the last one. */
  readonly restBytes: number
}

/** Takes runs in any order. */
export interface ClusterMapMaker {
  add(run: ClusterRun): void
  /** The map, or why there is none. Nothing is added afterwards. */
  finish(): ClusterMap | NoClusterMap
}

/** Why the clusters of a qcow2 cannot go straight to their places. */
export interface NoClusterMap {
  readonly why: string
  /** Some are compressed: in the order of the file they can be unpacked as they come. */
  readonly isCompressed?: true
}

type Columns = readonly [hosts: Float64Array, guests: Float64Array, lengths: Float64Array]

const FIRST_RUNS = 1024

export function createClusterMapMaker(
  sizes: Pick<ClusterMap, 'fileBytes' | 'virtualBytes'>,
  mostRuns = MOST_RUNS,
): ClusterMapMaker {
  let columns: Columns = emptyColumns(FIRST_RUNS)
  let count = 0
  return {
    add: ({ host, guest, length }) => {
      if (count < mostRuns) {
        if (count === columns[0].length) columns = grown(columns)
        const values = [host, guest, length]
        for (const [at, column] of columns.entries()) column[count] = values[at] as number
      }
      count++
    },
    finish: () => {
      if (count > mostRuns) {
        return { why: `its clusters lie in ${count} runs, and ${mostRuns} are remembered` }
      }
      const used = columns.map((column) => column.subarray(0, count)) as unknown as Columns
      const sorted = sortedBy(used[0], used)
      const [hosts, guests, lengths] = sorted
      // two places of the guest may share a cluster: a byte of the file has one place on the disk
      for (let index = 1; index < count; index++) {
        const end = (hosts[index - 1] as number) + (lengths[index - 1] as number)
        if (end <= (hosts[index] as number)) continue
        return { why: `the cluster at byte ${hosts[index]} is in two places of its disk` }
      }
      return createMap(sizes, { hosts, guests, lengths })
    },
  }
}

interface Runs {
  readonly hosts: Float64Array
  readonly guests: Float64Array
  readonly lengths: Float64Array
}

function createMap(
  { fileBytes, virtualBytes }: Pick<ClusterMap, 'fileBytes' | 'virtualBytes'>,
  { hosts, guests, lengths }: Runs,
): ClusterMap {
  const runCount = hosts.length
  const restBefore = new Float64Array(runCount + 1)
  let mappedBytes = 0
  for (let index = 0; index < runCount; index++) {
    restBefore[index] = (hosts[index] as number) - mappedBytes
    mappedBytes += lengths[index] as number
  }
  const restBytes = fileBytes - mappedBytes
  restBefore[runCount] = restBytes
  return {
    fileBytes,
    virtualBytes,
    runCount,
    restBytes,
    run: (index) => ({
      host: hosts[index] as number,
      guest: guests[index] as number,
      length: lengths[index] as number,
    }),
    firstEndingAfter: (host) => {
      let low = 0
      let high = runCount
      while (low < high) {
        const middle = (low + high) >>> 1
        if ((hosts[middle] as number) + (lengths[middle] as number) <= host) low = middle + 1
        else high = middle
      }
      return low
    },
    restBefore: (index) => restBefore[index] as number,
  }
}

/**
 * True where no two runs, nor a run and the zeros beside it, share a sector: what was read back is not written again.
 * The guest's disk may end within one.
 */
export function fitsSectors(map: ClusterMap, sectorBytes: number): boolean {
  for (let index = 0; index < map.runCount; index++) {
    const { guest, length } = map.run(index)
    if (guest % sectorBytes !== 0) return false
    if ((guest + length) % sectorBytes !== 0 && guest + length !== map.virtualBytes) return false
  }
  return true
}

/** What of the guest's disk no run covers, ascending. */
export function* zeroRanges(map: ClusterMap): Generator<ByteRange> {
  let at = 0
  for (const index of byGuest(map)) {
    const { guest, length } = map.run(index)
    if (guest > at) yield { offset: at, length: guest - at }
    at = guest + length
  }
  if (at < map.virtualBytes) yield { offset: at, length: map.virtualBytes - at }
}

/** Where in the file a part of the guest's disk lies; what of it is zero lies nowhere. In no order. */
export function filePartsOf(map: ClusterMap, part: ByteRange): (FileRange & { guest: number })[] {
  const parts: (FileRange & { guest: number })[] = []
  for (let index = 0; index < map.runCount; index++) {
    const { host, guest, length } = map.run(index)
    const shared = intersect({ offset: guest, length }, part)
    if (!shared) continue
    const offset = host + shared.offset - guest
    parts.push({ offset, length: shared.length, guest: shared.offset })
  }
  return parts
}

function byGuest(map: ClusterMap): Uint32Array {
  const guests = new Float64Array(map.runCount)
  for (let index = 0; index < map.runCount; index++) guests[index] = map.run(index).guest
  return orderOf(guests)
}

function orderOf(keys: Float64Array): Uint32Array {
  const order = new Uint32Array(keys.length).map((_, index) => index)
  return isAscending(keys) ? order : order.sort((a, b) => (keys[a] as number) - (keys[b] as number))
}

function sortedBy(keys: Float64Array, columns: Columns): Columns {
  if (isAscending(keys)) return columns
  const order = orderOf(keys)
  return columns.map((column) => {
    const sorted = new Float64Array(order.length)
    for (let index = 0; index < order.length; index++) {
      sorted[index] = column[order[index] as number] as number
    }
    return sorted
  }) as unknown as Columns
}

function isAscending(keys: Float64Array): boolean {
  for (let index = 1; index < keys.length; index++) {
    if ((keys[index] as number) < (keys[index - 1] as number)) return false
  }
  return true
}

function emptyColumns(capacity: number): Columns {
  return [new Float64Array(capacity), new Float64Array(capacity), new Float64Array(capacity)]
}

function grown(columns: Columns): Columns {
  const larger = emptyColumns(2 * columns[0].length)
  for (const [at, column] of columns.entries()) larger[at as 0 | 1 | 2].set(column)
  return larger
}
