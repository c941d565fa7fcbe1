// SPDX-License-Identifier: Apache-2.0
// Owns which clusters of the file hold tables: each holds one, and no data. Does not read them.
import { AgentError } from '../../../core/errors.ts'
import { endOf, type FileRange } from '../../../core/extent.ts'
import type { Qcow2Header } from './header.ts'

/** A bit a cluster: 8 MiB of memory, for a file of 32 GiB in clusters of 512 bytes or 4 TiB in those of 64 KiB. */
const MOST_CLUSTERS = 2 ** 26

export interface TableMap {
  /** Throws InvalidImage where the table ends after the file, or another is there already. */
  claim(name: string, table: FileRange): void
  /** True if a table lies in the cluster that holds this byte of the file. */
  holdsTable(offset: number): boolean
}

/** A map with the header, the L1 table and the refcount table. Throws InvalidImage where they do not fit. */
export function createTableMap(header: Qcow2Header, fileBytes: number): TableMap {
  const { clusterBytes } = header
  const clusters = Math.ceil(fileBytes / clusterBytes)
  if (clusters > MOST_CLUSTERS) {
    throw new AgentError(
      'InvalidImage',
      `the qcow2 has ${clusters} clusters of ${clusterBytes} bytes; at most ${MOST_CLUSTERS} are read: use larger clusters`,
    )
  }
  const taken = new Uint8Array(Math.ceil(clusters / 8))
  const isTaken = (cluster: number) => ((taken[cluster >>> 3] ?? 0) & (1 << (cluster & 7))) !== 0
  const map: TableMap = {
    claim: (name, table) => {
      const found = `${name} of the qcow2 takes bytes ${table.offset}-${endOf(table) - 1} of the file`
      if (endOf(table) > fileBytes) {
        throw new AgentError('InvalidImage', `the ${found}, which has only ${fileBytes} bytes`)
      }
      const last = Math.ceil(endOf(table) / clusterBytes)
      for (let cluster = Math.floor(table.offset / clusterBytes); cluster < last; cluster++) {
        if (isTaken(cluster)) {
          throw new AgentError(
            'InvalidImage',
            `the ${found}, but the cluster at byte ${cluster * clusterBytes} already holds another table or the header`,
          )
        }
        taken[cluster >>> 3] = (taken[cluster >>> 3] ?? 0) | (1 << (cluster & 7))
      }
    },
    holdsTable: (offset) => isTaken(Math.floor(offset / clusterBytes)),
  }
  map.claim('header', { offset: 0, length: Math.min(clusterBytes, fileBytes) })
  map.claim('L1 table', header.l1)
  if (header.refcountTable.length > 0) map.claim('refcount table', header.refcountTable)
  return map
}
