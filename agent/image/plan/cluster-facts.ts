// SPDX-License-Identifier: Apache-2.0
// Owns asking the server of a qcow2 for its tables, and for the beginning of its disk. Does not decide what they are
// good for, nor judge them: formats/qcow2/ does.
/// <reference lib="esnext.disposable" />
import { isAgentError, messageOf } from '../../core/errors.ts'
import { SNIFFED_BYTES } from '../formats/image-format.ts'
import {
  type ArrivingClusters,
  mapArriving,
  readDiskBeginning,
} from '../formats/qcow2/arriving/map-arriving.ts'
import {
  type ClusterMap,
  filePartsOf,
  type NoClusterMap,
} from '../formats/qcow2/straight/cluster-map.ts'
import { mapClusters } from '../formats/qcow2/straight/map-clusters.ts'
import {
  type FetchedParts,
  type FetchedPartsOptions,
  openFetchedParts,
  TooMuchError,
} from './fetched-parts.ts'

/** What a server says of a qcow2 before it is fetched, to be proved afterwards. */
export type KnownClusters = KnownPlaces & {
  /** Of the disk in it. */
  readonly beginning: Uint8Array
}

type KnownPlaces =
  | {
      /** None is compressed. */
      readonly map: ClusterMap
      /** The same for the order of the file; null where there are too many, or none is asked for. */
      readonly arriving: ArrivingClusters | null
    }
  | { readonly arriving: ArrivingClusters }

export interface ClusterInquiry extends FetchedPartsOptions {
  /** Whether nothing but the map will be needed, as the disk has room for what of the file is no cluster. */
  readonly goesStraight: (map: ClusterMap) => boolean
}

/** Tables of 32 MiB, ms: then the file is kept, as one of which nothing is known. */
const TABLES_MS = 60_000

/**
 * Resolves to why they are not known where they were not to be had. Throws InvalidImage for tables that are damaged
 * where nobody else may have better ones, an error that only the operator can mend, and the reason of the signal.
 */
export async function findClusters(options: ClusterInquiry): Promise<KnownClusters | NoClusterMap> {
  const late = AbortSignal.timeout(TABLES_MS)
  const signal = AbortSignal.any([options.signal, late])
  try {
    await using parts = await openFetchedParts({ ...options, signal })
    return await clustersOf(parts, { ...options, signal })
  } catch (error) {
    options.signal.throwIfAborted()
    if (late.aborted) return { why: `its tables did not come within ${TABLES_MS / 1000} s` }
    if (error instanceof TooMuchError) return { why: `its tables are scattered: ${error.message}` }
    if (!isAgentError(error) || error.kind === 'operator') throw error
    // one of several servers may have an older file: which is the right one its hash tells
    const isDoubtful = options.http.urls.length > 1
    if (error.type === 'InvalidImage' && !isDoubtful) throw error
    return { why: `its tables were not to be had: ${messageOf(error)}` }
  }
}

async function clustersOf(
  parts: FetchedParts,
  { fileBytes, signal, goesStraight }: ClusterInquiry,
): Promise<KnownClusters | NoClusterMap> {
  const { read, fetch } = parts
  const map = await mapClusters({ read, fileBytes, signal, prepare: fetch })
  if ('why' in map && !map.isCompressed) return map
  if (!('why' in map) && goesStraight(map)) {
    return { map, arriving: null, beginning: await beginningOf(map, parts) }
  }
  const arriving = await mapArriving({ read, fileBytes, signal })
  if (!('why' in map)) {
    const beginning = await beginningOf(map, parts)
    return { map, arriving: 'why' in arriving ? null : arriving, beginning }
  }
  if ('why' in arriving) return arriving
  const request = { read, prepare: fetch, length: SNIFFED_BYTES }
  return { arriving, beginning: await readDiskBeginning(arriving, request) }
}

async function beginningOf(map: ClusterMap, { fetch, read }: FetchedParts): Promise<Uint8Array> {
  const bytes = new Uint8Array(Math.min(SNIFFED_BYTES, map.virtualBytes))
  const parts = filePartsOf(map, { offset: 0, length: bytes.length })
  await fetch(parts)
  for (const part of parts) bytes.set(await read(part), part.guest)
  return bytes
}
