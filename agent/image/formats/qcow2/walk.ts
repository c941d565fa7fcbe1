// SPDX-License-Identifier: Apache-2.0
// Owns the walk over a whole qcow2 in the order of the guest's disk, an L2 table at a time. Does not read
// clusters.
import type { ImageReader } from '../../../core/extent.ts'
import { allocateAligned } from '../../../disk/aligned-pool.ts'
import { type Piece, piecesOf, type TableContext } from './clusters.ts'
import { createRunMaker, type Run, type RunLimits } from './runs.ts'
import { l2Places } from './tables.ts'
import { createTurns } from './turns.ts'

/** Reads every entry of every table. Throws InvalidImage for one that the format forbids. */
export async function checkTables(
  read: ImageReader,
  context: TableContext,
  signal: AbortSignal,
): Promise<void> {
  for await (const pieces of piecesByTable(read, context)) {
    signal.throwIfAborted()
    for (const _piece of pieces);
  }
}

/** Every byte of the guest's disk, once. Throws InvalidImage as checkTables does. */
export async function* runsOf(
  read: ImageReader,
  context: TableContext,
  limits: RunLimits,
): AsyncGenerator<Run> {
  const maker = createRunMaker(limits)
  for await (const pieces of piecesByTable(read, context)) {
    for (const piece of pieces) {
      const run = maker.add(piece)
      if (run !== undefined) yield run
    }
  }
  const last = maker.finish()
  if (last !== undefined) yield last
}

/**
 * Every piece of the guest's disk, in its order, by table. Each lot is good until the next is asked for: the tables share
 * their memory. Throws InvalidImage as checkTables does.
 */
export async function* piecesByTable(
  read: ImageReader,
  context: TableContext,
): AsyncGenerator<Iterable<Piece>> {
  const { clusterBytes, virtualBytes } = context.header
  const memory = allocateAligned(clusterBytes)
  const others = createTurns()
  for await (const { guest, length, offset } of l2Places(read, context.header)) {
    if (offset === undefined) {
      yield [{ kind: 'zero', guest, length: Math.min(length, virtualBytes - guest) }]
    } else {
      yield piecesOf(await read({ offset, length: clusterBytes }, memory), guest, context)
      await others.turn()
    }
  }
}
