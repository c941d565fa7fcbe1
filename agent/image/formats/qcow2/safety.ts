// SPDX-License-Identifier: Apache-2.0
// Owns what a qcow2 header may not say (contract 5.3.6, CVE-2024-44082): one rule each. Does not read the file.
import { AgentError } from '../../../core/errors.ts'
import { MiB } from '../../../core/units.ts'
import { type HeaderFields, INCOMPATIBLE, V3_HEADER_BYTES } from './fields.ts'

/** QEMU's own limits (block/qcow2.h): what is beyond them no program has made. */
const MOST_L1_BYTES = 32 * MiB
const MOST_REFCOUNT_TABLE_BYTES = 8 * MiB
const CLUSTER_BITS = { least: 9, most: 21 } as const
/** A subcluster has at least 512 bytes, and a cluster has 32. */
const LEAST_BITS_WITH_SUBCLUSTERS = 14
const SECTOR_BYTES = 512n

/** What was found and what is allowed, or nothing where the rule holds. */
type Rule = (fields: HeaderFields) => string | undefined

/** In this order: each relies on those before it. */
const RULES: readonly Rule[] = [
  ({ version }) => {
    if (version !== 2 && version !== 3) return `version ${version}; versions 2 and 3 are read`
    return undefined
  },
  ({ clusterBits }) => {
    const { least, most } = CLUSTER_BITS
    if (clusterBits >= least && clusterBits <= most) return undefined
    return `cluster_bits ${clusterBits}; allowed are ${least} to ${most} (clusters of 512 bytes to 2 MiB)`
  },
  ({ backingFileOffset }) => {
    if (backingFileOffset === 0n) return undefined
    return (
      `a backing file (its name at byte ${backingFileOffset}); an image must hold all of its data: ` +
      'flatten it (qemu-img convert)'
    )
  },
  ({ incompatible }) => {
    if ((incompatible & INCOMPATIBLE.externalDataFile) === 0n) return undefined
    return 'an external data file (incompatible feature bit 2); an image must hold all of its data: flatten it (qemu-img convert)'
  },
  ({ incompatible }) => {
    const known = Object.values(INCOMPATIBLE).reduce((bits, bit) => bits | bit, 0n)
    const unknown = bitsOf(incompatible & ~known)
    if (unknown.length === 0) return undefined
    return `unknown incompatible feature bits ${unknown.join(', ')}; bits 0, 3 and 4 are known and allowed`
  },
  ({ incompatible }) => {
    if ((incompatible & INCOMPATIBLE.corrupt) === 0n) return undefined
    return 'the mark of a corrupt image (incompatible feature bit 1); repair it (qemu-img check -r all) or make it anew'
  },
  ({ cryptMethod }) => {
    if (cryptMethod === 0) return undefined
    const name = { 1: 'AES', 2: 'LUKS' }[cryptMethod] ?? 'unknown'
    return `encryption (crypt_method ${cryptMethod}, ${name}); only unencrypted images are read (crypt_method 0)`
  },
  ({ version, headerLength, clusterBits }) => {
    if (version === 2) return undefined
    const most = 2 ** clusterBits
    const isSane = headerLength >= V3_HEADER_BYTES && headerLength <= most && headerLength % 8 === 0
    if (isSane) return undefined
    return `header_length ${headerLength}; allowed are multiples of 8 from ${V3_HEADER_BYTES} to a cluster, ${most}`
  },
  ({ incompatible, compressionType }) => {
    const isMarked = (incompatible & INCOMPATIBLE.compressionType) !== 0n
    if (compressionType <= 1 && isMarked === (compressionType === 1)) return undefined
    return (
      `compression_type ${compressionType} with incompatible feature bit 3 ${isMarked ? 'set' : 'clear'}; ` +
      'allowed are 0 (zlib) with the bit clear and 1 (zstd) with the bit set'
    )
  },
  ({ incompatible, clusterBits }) => {
    const isExtended = (incompatible & INCOMPATIBLE.extendedL2) !== 0n
    if (!isExtended || clusterBits >= LEAST_BITS_WITH_SUBCLUSTERS) return undefined
    return `extended L2 entries with cluster_bits ${clusterBits}; they need ${LEAST_BITS_WITH_SUBCLUSTERS} or more`
  },
  ({ size }) => {
    const most = BigInt(Number.MAX_SAFE_INTEGER)
    if (size > 0n && size <= most && size % SECTOR_BYTES === 0n) return undefined
    return `a virtual size of ${size} bytes; allowed are multiples of 512 from 512 to ${most}`
  },
  (fields) => {
    const most = MOST_L1_BYTES / 8
    if (fields.l1Size > most) return `an L1 table of ${fields.l1Size} entries; at most ${most}`
    const least = leastL1Entries(fields)
    if (BigInt(fields.l1Size) >= least) return undefined
    return `an L1 table of ${fields.l1Size} entries; ${fields.size} bytes of virtual size take ${least}, at most ${most}`
  },
  (fields) => refuseTable('L1 table', fields.l1TableOffset, fields),
  (fields) => {
    const bytes = fields.refcountTableClusters * 2 ** fields.clusterBits
    if (bytes > MOST_REFCOUNT_TABLE_BYTES) {
      return `a refcount table of ${bytes} bytes; at most ${MOST_REFCOUNT_TABLE_BYTES}`
    }
    // a reader does without: one that is not there overlaps nothing
    if (bytes === 0) return undefined
    return refuseTable('refcount table', fields.refcountTableOffset, fields)
  },
]

/** Throws InvalidImage with what was found and what is allowed, for the first rule that the header breaks. */
export function refuseFields(fields: HeaderFields): void {
  for (const rule of RULES) {
    const found = rule(fields)
    if (found !== undefined) {
      throw new AgentError('InvalidImage', `the header of the qcow2 says ${found}`)
    }
  }
}

/** Tables begin at clusters, and the first cluster is the header's. */
function refuseTable(name: string, offset: bigint, { clusterBits }: HeaderFields) {
  const clusterBytes = 1n << BigInt(clusterBits)
  const most = BigInt(Number.MAX_SAFE_INTEGER) - BigInt(MOST_L1_BYTES)
  if (offset >= clusterBytes && offset <= most && offset % clusterBytes === 0n) return undefined
  return `the ${name} at byte ${offset}; allowed are multiples of the cluster size, ${clusterBytes}, from the second cluster on`
}

function leastL1Entries({ size, clusterBits, incompatible }: HeaderFields): bigint {
  const entryBits = (incompatible & INCOMPATIBLE.extendedL2) === 0n ? 3 : 4
  const bytesOfAnEntry = 1n << BigInt(2 * clusterBits - entryBits)
  return (size + bytesOfAnEntry - 1n) / bytesOfAnEntry
}

function bitsOf(mask: bigint): number[] {
  return Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => (mask >> BigInt(bit)) & 1n)
}
