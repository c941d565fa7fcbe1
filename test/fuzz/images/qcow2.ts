// SPDX-License-Identifier: Apache-2.0
// Owns small qcow2 images of every kind that is read, and where they hurt. Does not damage them.
import { deflateRawSync, zstdCompressSync } from 'node:zlib'
import {
  buildQcow2,
  CLUSTER_BYTES,
  compressedEntry,
  DATA_AT,
  FIELDS,
  L1_AT,
  L2_AT,
  type SmallQcow2,
} from '../../support/formats/qcow2-builder.ts'
import type { SmallImage } from './formats.ts'
import type { Field } from './mutate.ts'

const AT = BigInt(DATA_AT)
const ENTRIES_HURT = 8

export function smallQcow2s(): readonly SmallImage[] {
  const text = new Uint8Array(CLUSTER_BYTES).map((_, at) => (at * at) >>> 7)
  const deflated = deflateRawSync(text, { windowBits: 12 })
  const zstd = zstdCompressSync(text)
  const kinds: Record<string, SmallQcow2> = {
    'version 3': { l2: [AT, 0n, 1n, AT | 1n], data: text },
    'version 2': { fields: { version: 2 }, l2: [AT, 0n, AT], data: text },
    'a refcount table': {
      fields: { refcountTableOffset: DATA_AT, refcountTableClusters: 1 },
      l2: [AT + 65_536n],
      data: Buffer.concat([Buffer.alloc(CLUSTER_BYTES), text]),
    },
    'clusters of 512 bytes': {
      fields: { clusterBits: 9, size: 128 * 512, l1Size: 2 },
      l1: [BigInt(L2_AT), BigInt(L2_AT + 512)],
      l2: Array.from({ length: 128 }, (_, index) => AT + BigInt(index * 512)),
      data: text,
    },
    zlib: {
      l2: [compressedEntry(DATA_AT, deflated.length >>> 9), 0n, compressedEntry(DATA_AT, 255)],
      data: deflated,
    },
    zstd: {
      fields: { incompatible: 8, compressionType: 1 },
      l2: [compressedEntry(DATA_AT, zstd.length >>> 9), 0n, compressedEntry(DATA_AT, 255)],
      data: zstd,
    },
    'extended L2': {
      fields: { incompatible: 16 },
      l2: [AT, 0xffff_0000_0000_ffffn, AT, 0x5555_5555_aaaa_aaaan, 0n, 1n << 40n],
      data: text,
    },
  }
  return Object.entries(kinds).map(([name, kind]) => ({
    name,
    file: buildQcow2(kind),
    fields: [...HEADER, ...tables(kind), ...dataOf(kind)],
  }))
}

const HEADER: readonly Field[] = Object.values(FIELDS).map(([offset, bits]) => big(offset, bits))

function tables({ fields }: SmallQcow2): Field[] {
  const entries = Array.from({ length: ENTRIES_HURT }, (_, entry) => 8 * entry)
  const l1 = entries.slice(0, Number(fields?.l1Size ?? 1))
  return [...l1.map((at) => big(L1_AT + at, 64)), ...entries.map((at) => big(L2_AT + at, 64))]
}

/** The beginning of compressed data says what kind of blocks follow; of other data nothing does. */
function dataOf({ l2 = [] }: SmallQcow2): Field[] {
  const isCompressed = l2.some((entry) => (entry & (1n << 62n)) !== 0n)
  return isCompressed ? [0, 1, 4, 5, 8].map((at) => big(DATA_AT + at, 8)) : []
}

function big(offset: number, bits: 8 | 32 | 64): Field {
  return { offset, bytes: (bits / 8) as Field['bytes'], order: 'big' }
}
