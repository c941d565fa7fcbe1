// SPDX-License-Identifier: Apache-2.0
// Owns what a reader makes of a qcow2 header: sizes, and the places of the tables. Does not read tables.
import type { FileRange } from '../../../core/extent.ts'
import { INCOMPATIBLE, readFields } from './fields.ts'
import { refuseFields } from './safety.ts'

/** A header that keeps the rules of safety.ts. */
export interface Qcow2Header {
  readonly version: number
  /** Bytes of the guest's disk. */
  readonly virtualBytes: number
  readonly clusterBits: number
  readonly clusterBytes: number
  readonly compression: 'zlib' | 'zstd'
  /** Extended L2: an entry takes 16 bytes and tells of the 32 subclusters of its cluster. */
  readonly hasSubclusters: boolean
  readonly l2Entries: number
  /** The L1 entries that the guest's disk takes; what follows belongs to saved states of a machine. */
  readonly l1: FileRange
  /** Of no bytes where there is none. */
  readonly refcountTable: FileRange
}

/**
 * The header of a qcow2 that may be deployed: contract 5.3.6, except that extended L2 entries are read.
 * @param firstBytes of the file, HEADER_BYTES (fields.ts) or more; all of a smaller file
 * Throws InvalidImage with what was found and what is allowed.
 */
export function judgeQcow2Header(firstBytes: Uint8Array): Qcow2Header {
  const fields = readFields(firstBytes)
  refuseFields(fields)
  const clusterBytes = 2 ** fields.clusterBits
  const hasSubclusters = (fields.incompatible & INCOMPATIBLE.extendedL2) !== 0n
  const l2Entries = clusterBytes / (hasSubclusters ? 16 : 8)
  const virtualBytes = Number(fields.size)
  return {
    version: fields.version,
    virtualBytes,
    clusterBits: fields.clusterBits,
    clusterBytes,
    compression: fields.compressionType === 1 ? 'zstd' : 'zlib',
    hasSubclusters,
    l2Entries,
    l1: {
      offset: Number(fields.l1TableOffset),
      length: 8 * Math.ceil(virtualBytes / (clusterBytes * l2Entries)),
    },
    refcountTable: {
      offset: Number(fields.refcountTableOffset),
      length: fields.refcountTableClusters * clusterBytes,
    },
  }
}
