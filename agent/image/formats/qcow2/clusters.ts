// SPDX-License-Identifier: Apache-2.0
// Owns what the entries of an L2 table say: where each cluster of the guest's disk is to be had. Does not read
// clusters.
import { AgentError } from '../../../core/errors.ts'
import { KiB } from '../../../core/units.ts'
import type { Qcow2Header } from './header.ts'
import type { TableMap } from './table-map.ts'
import { offsetIn, viewOf } from './tables.ts'

/** A run of the guest's disk that is had in one way. */
export type Piece =
  | { readonly kind: 'zero'; readonly guest: number; readonly length: number }
  | {
      readonly kind: 'plain'
      readonly guest: number
      readonly length: number
      /** Its first byte in the file; the file may end before the piece does, and the rest is zero. */
      readonly host: number
    }
  | {
      readonly kind: 'compressed'
      readonly guest: number
      /** Bytes of the guest's disk: a cluster, or what the disk has of its last one. */
      readonly length: number
      readonly host: number
      /** Bytes of the file within which the data ends. */
      readonly hostBytes: number
    }

const COMPRESSED = 0x4000_0000
const ZERO = 1
const SUBCLUSTERS = 32
/** Compressed data is counted in these whatever the disk's sectors are. */
const SECTOR_BYTES = 512

export interface TableContext {
  readonly header: Qcow2Header
  readonly fileBytes: number
  readonly map: TableMap
}

/**
 * What the table says, in the order of the guest's disk, up to the end of that.
 * @param guest the first byte of the guest's disk that the table is of
 * Throws InvalidImage for an entry that the format forbids or that points out of the file.
 */
export function* piecesOf(
  table: Uint8Array,
  guest: number,
  context: TableContext,
): Generator<Piece> {
  const { clusterBytes, l2Entries, virtualBytes, hasSubclusters } = context.header
  const view = viewOf(table)
  const entryBytes = hasSubclusters ? 16 : 8
  const entries = Math.min(l2Entries, Math.ceil((virtualBytes - guest) / clusterBytes))
  for (let entry = 0; entry < entries; entry++) {
    const start = guest + entry * clusterBytes
    const length = Math.min(clusterBytes, virtualBytes - start)
    const at = entry * entryBytes
    if ((view.getUint32(at) & COMPRESSED) !== 0) {
      yield compressedPiece(view, at, { guest: start, length }, context)
    } else if (hasSubclusters) {
      yield* subclusterPieces(view, at, { guest: start, length }, context)
    } else {
      yield wholePiece(view, at, { guest: start, length }, context)
    }
  }
}

interface GuestRun {
  readonly guest: number
  readonly length: number
}

function wholePiece(view: DataView, at: number, run: GuestRun, context: TableContext): Piece {
  const isZero = (view.getUint32(at + 4) & ZERO) !== 0
  // the flag came with version 3; QEMU calls version 2 with it corrupt
  if (isZero && context.header.version < 3) {
    throw forbidden(run, 'has the zero flag, which version 2 does not know')
  }
  const host = isZero ? 0 : offsetIn(view, at)
  if (host === 0) return { kind: 'zero', ...run }
  requireCluster(host, run, context)
  return { kind: 'plain', ...run, host }
}

/** Runs of equal subclusters; the bitmap's lower half says which have data, its upper half which are zero. */
function* subclusterPieces(
  view: DataView,
  at: number,
  run: GuestRun,
  context: TableContext,
): Generator<Piece> {
  const host = offsetIn(view, at)
  const zeros = view.getUint32(at + 8)
  const data = view.getUint32(at + 12)
  if ((zeros & data) !== 0) throw forbidden(run, 'has a subcluster that is both zero and data')
  if (data === 0) {
    yield { kind: 'zero', ...run }
    return
  }
  if (host === 0) throw forbidden(run, 'has subclusters with data, and no place for them')
  requireCluster(host, run, context)
  const size = context.header.clusterBytes / SUBCLUSTERS
  const isData = (index: number) => ((data >>> index) & 1) !== 0
  for (let first = 0, next = 1; first < SUBCLUSTERS; first = next++) {
    while (next < SUBCLUSTERS && isData(next) === isData(first)) next++
    const start = first * size
    const length = Math.min(next * size, run.length) - start
    if (length <= 0) return
    const guest = run.guest + start
    if (isData(first)) {
      requireInFile(host + start, run, context)
      yield { kind: 'plain', guest, length, host: host + start }
    } else {
      yield { kind: 'zero', guest, length }
    }
  }
}

/** Bits 0 to x-1 are the offset, x to 61 the sectors after the first one, x = 70 - cluster_bits. */
function compressedPiece(view: DataView, at: number, run: GuestRun, context: TableContext): Piece {
  const upper = view.getUint32(at) & 0x3fff_ffff
  const offsetBits = 70 - context.header.clusterBits - 32
  const host = (upper & (2 ** offsetBits - 1)) * 2 ** 32 + view.getUint32(at + 4)
  const sectors = (upper >>> offsetBits) + 1
  requireInFile(host, run, context)
  const end = (Math.floor(host / SECTOR_BYTES) + sectors) * SECTOR_BYTES
  // the sectors say only where the data has ended at the latest
  const most = host + mostCompressedBytes(context.header)
  return {
    kind: 'compressed',
    ...run,
    host,
    hostBytes: Math.min(end, most, context.fileBytes) - host,
  }
}

/** Bytes that are read for a compressed cluster at most: what does not shrink may grow by a little. */
export function mostCompressedBytes({ clusterBytes }: Qcow2Header): number {
  return clusterBytes + 4 * KiB
}

function requireCluster(host: number, run: GuestRun, context: TableContext): void {
  const { clusterBytes } = context.header
  if (host % clusterBytes !== 0) {
    throw forbidden(
      run,
      `lies at byte ${host} of the file, which is no multiple of the cluster size, ${clusterBytes}`,
    )
  }
  requireInFile(host, run, context)
}

/** A cluster that begins after the file's end is what a cut-off copy shows; QEMU would take it for zeros. */
function requireInFile(host: number, run: GuestRun, { fileBytes, map }: TableContext): void {
  if (host >= fileBytes) {
    throw forbidden(run, `lies at byte ${host} of the file, which has only ${fileBytes} bytes`)
  }
  if (map.holdsTable(host)) {
    throw forbidden(run, `lies at byte ${host} of the file, where the header or a table is`)
  }
}

function forbidden({ guest }: GuestRun, what: string): AgentError {
  return new AgentError(
    'InvalidImage',
    `the cluster of the guest's bytes from ${guest} on ${what}: the qcow2 is damaged`,
  )
}
