// SPDX-License-Identifier: Apache-2.0
// Owns the way from the tables of a qcow2 to what is needed to unpack it in the order of its file, and the beginning of
// its disk. Does not fetch, nor unpack.
import type { FileRange, ImageReader } from '../../../../core/extent.ts'
import { createClusterDecoder } from '../decode/cluster-decoder.ts'
import { HEADER_BYTES } from '../fields.ts'
import { judgeQcow2Header, type Qcow2Header } from '../header.ts'
import { brokenCluster } from '../place-run.ts'
import { createTableMap } from '../table-map.ts'
import { claimL2Tables, l2Places } from '../tables.ts'
import { piecesByTable } from '../walk.ts'
import { type ArrivingMap, createArrivingMapMaker, MOST_PIECES } from './arriving-map.ts'
import type { FilePiece } from './columns.ts'
import { digestTables, type TableDigest } from './table-digest.ts'

/** A qcow2 that is unpacked in the order of its file, as its tables say; they have to be in the file that comes. */
export interface ArrivingClusters {
  readonly header: Qcow2Header
  readonly fileBytes: number
  readonly map: ArrivingMap
  readonly digest: TableDigest
}

export interface MapArrivingRequest {
  /** Reads tables. */
  readonly read: ImageReader
  readonly fileBytes: number
  readonly signal: AbortSignal
}

/**
 * Resolves to why there is no map where there are too many clusters for one. Throws InvalidImage for what unpacking
 * would refuse in header and tables, and what reading throws.
 */
export async function mapArriving(
  { read, fileBytes, signal }: MapArrivingRequest,
  mostPieces = MOST_PIECES,
): Promise<ArrivingClusters | { readonly why: string }> {
  const beginning = { offset: 0, length: Math.min(fileBytes, HEADER_BYTES) }
  const header = judgeQcow2Header(await read(beginning))
  const context = { header, fileBytes, map: createTableMap(header, fileBytes) }
  await claimL2Tables(read, header, context.map)
  const maker = createArrivingMapMaker(mostPieces)
  for await (const pieces of piecesByTable(read, context)) {
    signal.throwIfAborted()
    for (const piece of pieces) maker.add(piece)
    if (maker.isFull) break
  }
  const map = maker.finish()
  if (!map)
    return {
      why: `it has compressed clusters, and more than the ${mostPieces} that are remembered`,
    }
  const tables: FileRange[] = [beginning, header.l1]
  for await (const { offset } of l2Places(read, header)) {
    if (offset !== undefined) tables.push({ offset, length: header.clusterBytes })
  }
  return { header, fileBytes, map, digest: await digestTables(read, tables) }
}

export interface BeginningRequest {
  readonly read: ImageReader
  /** Hears what will be read next. */
  readonly prepare: (ranges: readonly FileRange[]) => Promise<void>
  /** Of the guest's disk. */
  readonly length: number
}

/** The first bytes of the guest's disk, fewer where it is smaller. Throws InvalidImage for a cluster that is broken. */
export async function readDiskBeginning(
  { header, fileBytes, map }: ArrivingClusters,
  { read, prepare, length }: BeginningRequest,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(Math.min(length, header.virtualBytes))
  const pieces: { readonly piece: FilePiece; readonly range: FileRange }[] = []
  for (let index = 0; index < map.pieceCount; index++) {
    const piece = map.piece(index)
    if (piece.guest >= bytes.length) continue
    const partBytes = Math.min(piece.length, bytes.length - piece.guest, fileBytes - piece.host)
    const rangeBytes = piece.kind === 'compressed' ? piece.hostBytes : partBytes
    pieces.push({ piece, range: { offset: piece.host, length: rangeBytes } })
  }
  await prepare(pieces.map(({ range }) => range))
  const decode = createClusterDecoder(header)
  for (const { piece, range } of pieces) {
    const data = await read(range)
    const target = bytes.subarray(piece.guest, piece.guest + piece.length)
    if (piece.kind === 'plain') {
      target.set(data)
      continue
    }
    const why = decode(data, target)
    if (why !== undefined) throw brokenCluster(piece, why)
  }
  return bytes
}
