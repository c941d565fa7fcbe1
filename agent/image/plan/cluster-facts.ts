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

/**
 * What a server says of a qcow2 before it is fetched, to be proved afterwards: the places of clusters that are not
 * compressed, or of all of them where some are.
 */
export type KnownClusters = (
  | { readonly map: ClusterMap }
  | { readonly arriving: ArrivingClusters }
) & {
  /** Of the disk in it. */
  readonly beginning: Uint8Array
}

/** Tables of 32 MiB, ms: then the file is kept, as one of which nothing is known. */
const TABLES_MS = 60_000

/**
 * Resolves to why they are not known where they were not to be had. Throws InvalidImage for tables that are damaged
 * where nobody else may have better ones, an error that only the operator can mend, and the reason of the signal.
 */
export async function findClusters(
  options: FetchedPartsOptions,
): Promise<KnownClusters | NoClusterMap> {
  const { fileBytes } = options
  const late = AbortSignal.timeout(TABLES_MS)
  const signal = AbortSignal.any([options.signal, late])
  try {
    await using parts = await openFetchedParts({ ...options, signal })
    const map = await mapClusters({ read: parts.read, fileBytes, signal, prepare: parts.fetch })
    if (!('why' in map)) return { map, beginning: await beginningOf(map, parts) }
    if (!map.isCompressed) return map
    const arriving = await mapArriving({ read: parts.read, fileBytes, signal })
    if ('why' in arriving) return arriving
    const request = { read: parts.read, prepare: parts.fetch, length: SNIFFED_BYTES }
    return { arriving, beginning: await readDiskBeginning(arriving, request) }
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

async function beginningOf(map: ClusterMap, { fetch, read }: FetchedParts): Promise<Uint8Array> {
  const bytes = new Uint8Array(Math.min(SNIFFED_BYTES, map.virtualBytes))
  const parts = filePartsOf(map, { offset: 0, length: bytes.length })
  await fetch(parts)
  for (const part of parts) bytes.set(await read(part), part.guest)
  return bytes
}
