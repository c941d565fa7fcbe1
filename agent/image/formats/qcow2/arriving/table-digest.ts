// SPDX-License-Identifier: Apache-2.0
// Owns the digest of header and tables of a qcow2: what a server has told of them before must be what the file has,
// which comes in its order and is not kept. Does not read what stands in them.
import { createHash } from 'node:crypto'
import { AgentError } from '../../../../core/errors.ts'
import { endOf, type FileRange, type ImageReader, intersect } from '../../../../core/extent.ts'
import type { FileChunk } from '../../unpacker.ts'

export interface TableDigest {
  /** Ascending, apart. */
  readonly tables: readonly FileRange[]
  /** SHA-256 of their bytes, in the order of the file: lower-case hex. */
  readonly sha256: string
}

export interface TableCheck {
  /** Takes the whole file, in its order. */
  add(chunk: FileChunk): void
  /** The file is over. Throws InvalidImage where its tables are others. */
  requireSame(): void
}

/** @param tables apart, in any order */
export async function digestTables(
  read: ImageReader,
  tables: readonly FileRange[],
): Promise<TableDigest> {
  const ascending = [...tables].sort((a, b) => a.offset - b.offset)
  const hash = createHash('sha256')
  for (const table of ascending) hash.update(await read(table))
  return { tables: ascending, sha256: hash.digest('hex') }
}

export function checkTableDigest({ tables, sha256 }: TableDigest): TableCheck {
  const hash = createHash('sha256')
  let next = 0
  return {
    add: ({ offset, bytes }) => {
      const chunk = { offset, length: bytes.length }
      for (let table = tables[next]; table; table = tables[next]) {
        const shared = intersect(table, chunk)
        if (shared) {
          const from = shared.offset - offset
          hash.update(bytes.subarray(from, from + shared.length))
        }
        if (endOf(table) > endOf(chunk)) return
        next++
      }
    },
    requireSame: () => {
      if (hash.digest('hex') === sha256) return
      throw new AgentError(
        'InvalidImage',
        'the tables of the qcow2 that came are others than those that its server answered before: it serves two files',
      )
    },
  }
}
