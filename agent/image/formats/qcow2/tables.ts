// SPDX-License-Identifier: Apache-2.0
// Owns the way through the tables of a qcow2, in the order of the guest's disk and one at a time: a table of
// 64 GiB may take 1 GiB. Does not read what the L2 entries say (clusters.ts).
import { AgentError } from '../../../core/errors.ts'
import type { ImageReader } from '../../../core/extent.ts'
import { KiB } from '../../../core/units.ts'
import { allocateAligned } from '../../../disk/aligned-pool.ts'
import type { Qcow2Header } from './header.ts'
import type { TableMap } from './table-map.ts'
import { createTurns } from './turns.ts'

/** The offset in an entry, bits 9 to 55, by its upper and its lower half. */
const OFFSET_MASK = { upper: 0x00ff_ffff, lower: 0xffff_fe00 } as const

const L1_PORTION_BYTES = 64 * KiB

/** What one L1 entry says. */
export interface L2Place {
  /** The first byte of the guest's disk that the table is of. */
  readonly guest: number
  /** Bytes of the guest's disk; the last table's may be more than the disk has. */
  readonly length: number
  /** Of the L2 table in the file; undefined where there is none, and the guest's bytes are zero. */
  readonly offset: number | undefined
}

/** Each L1 entry of the guest's disk. Throws InvalidImage for an offset between clusters. */
export async function* l2Places(read: ImageReader, header: Qcow2Header): AsyncGenerator<L2Place> {
  const { l1, clusterBytes, l2Entries } = header
  const length = clusterBytes * l2Entries
  const memory = allocateAligned(Math.min(L1_PORTION_BYTES, l1.length))
  const others = createTurns()
  for (let at = 0; at < l1.length; at += memory.length) {
    const range = { offset: l1.offset + at, length: Math.min(memory.length, l1.length - at) }
    const view = viewOf(await read(range, memory.subarray(0, range.length)))
    for (let entry = 0; entry < range.length; entry += 8) {
      const offset = offsetIn(view, entry)
      const guest = ((at + entry) / 8) * length
      if (offset % clusterBytes !== 0) {
        throw new AgentError(
          'InvalidImage',
          `the L2 table of the guest's bytes from ${guest} on begins at byte ${offset} of the qcow2, which is no multiple ` +
            `of the cluster size, ${clusterBytes}`,
        )
      }
      yield { guest, length, offset: offset === 0 ? undefined : offset }
    }
    await others.turn()
  }
}

/** Claims every L2 table. Throws InvalidImage for one that is used twice, overlaps another or ends after the file. */
export async function claimL2Tables(
  read: ImageReader,
  header: Qcow2Header,
  map: TableMap,
): Promise<void> {
  for await (const { guest, offset } of l2Places(read, header)) {
    if (offset === undefined) continue
    map.claim(`L2 table (of the guest's bytes from ${guest} on)`, {
      offset,
      length: header.clusterBytes,
    })
  }
}

/** The offset in the entry at this byte of a table, a multiple of 512; 0 where there is none. */
export function offsetIn(table: DataView, at: number): number {
  const upper = table.getUint32(at) & OFFSET_MASK.upper
  return upper * 2 ** 32 + ((table.getUint32(at + 4) & OFFSET_MASK.lower) >>> 0)
}

export function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength)
}
