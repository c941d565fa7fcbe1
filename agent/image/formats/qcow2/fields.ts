// SPDX-License-Identifier: Apache-2.0
// Owns the fields of a qcow2 header as they stand in the file (QEMU's docs/interop/qcow2.txt). Does not judge
// them; safety.ts does.
import { AgentError } from '../../../core/errors.ts'

/** Bytes that hold every field a reader needs; longer headers have only what may be ignored. */
export const HEADER_BYTES = 112
/** The least of a version 3 header; version 2 has V2_HEADER_BYTES. */
export const V3_HEADER_BYTES = 104

const MAGIC = 0x514649fb
const V2_HEADER_BYTES = 72
const COMPRESSION_TYPE_AT = 104

/** Bits of incompatible_features, by their names in the specification. */
export const INCOMPATIBLE = {
  dirty: 1n << 0n,
  corrupt: 1n << 1n,
  externalDataFile: 1n << 2n,
  compressionType: 1n << 3n,
  extendedL2: 1n << 4n,
} as const

/** Fields that a reader needs. Those that version 2 has not are at the values which mean the same. */
export interface HeaderFields {
  readonly version: number
  readonly backingFileOffset: bigint
  readonly clusterBits: number
  /** Bytes of the guest's disk. */
  readonly size: bigint
  readonly cryptMethod: number
  /** Entries. */
  readonly l1Size: number
  readonly l1TableOffset: bigint
  readonly refcountTableOffset: bigint
  readonly refcountTableClusters: number
  readonly incompatible: bigint
  readonly headerLength: number
  /** 0 is zlib, 1 is zstd. */
  readonly compressionType: number
}

/** Reads the fields. Throws InvalidImage for bytes that are no qcow2 header, or not a whole one. */
export function readFields(bytes: Uint8Array): HeaderFields {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < V2_HEADER_BYTES || view.getUint32(0) !== MAGIC) {
    throw new AgentError(
      'InvalidImage',
      `no qcow2 header in the first ${bytes.length} bytes: a qcow2 begins with 51 46 49 fb and its header has ` +
        `at least ${V2_HEADER_BYTES} bytes`,
    )
  }
  const version = view.getUint32(4)
  const common = {
    version,
    backingFileOffset: view.getBigUint64(8),
    clusterBits: view.getUint32(20),
    size: view.getBigUint64(24),
    cryptMethod: view.getUint32(32),
    l1Size: view.getUint32(36),
    l1TableOffset: view.getBigUint64(40),
    refcountTableOffset: view.getBigUint64(48),
    refcountTableClusters: view.getUint32(56),
  }
  if (version !== 3) {
    return { ...common, incompatible: 0n, headerLength: V2_HEADER_BYTES, compressionType: 0 }
  }
  if (bytes.length < V3_HEADER_BYTES) {
    throw new AgentError(
      'InvalidImage',
      `the qcow2 ends after ${bytes.length} bytes, within its header: that of version 3 has at least ${V3_HEADER_BYTES}`,
    )
  }
  const headerLength = view.getUint32(100)
  const hasType = headerLength > COMPRESSION_TYPE_AT && bytes.length > COMPRESSION_TYPE_AT
  return {
    ...common,
    incompatible: view.getBigUint64(72),
    headerLength,
    compressionType: hasType ? view.getUint8(COMPRESSION_TYPE_AT) : 0,
  }
}
