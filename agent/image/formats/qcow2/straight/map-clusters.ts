// SPDX-License-Identifier: Apache-2.0
// Owns the way from the tables of a qcow2 to the map of its clusters: read and judged by the rooms that unpacking has,
// and read again once the file is proved. Does not fetch.
import { AgentError } from '../../../../core/errors.ts'
import type { FileRange, ImageReader } from '../../../../core/extent.ts'
import { MiB } from '../../../../core/units.ts'
import type { TableContext } from '../clusters.ts'
import { HEADER_BYTES } from '../fields.ts'
import { judgeQcow2Header } from '../header.ts'
import type { Run } from '../runs.ts'
import { createTableMap } from '../table-map.ts'
import { claimL2Tables, l2Places } from '../tables.ts'
import { runsOf } from '../walk.ts'
import { type ClusterMap, createClusterMapMaker, type NoClusterMap } from './cluster-map.ts'

/** Of L1 and L2 tables together: 256 GiB in clusters of 64 KiB. */
const MOST_TABLE_BYTES = 32 * MiB

const COMPRESSED = 'it has compressed clusters'

/** Nothing is read for a run; compressed ones are told apart only. */
const RUN_LIMITS = { guestBytes: Number.POSITIVE_INFINITY, hostBytes: MiB } as const

export interface MapClustersRequest {
  readonly read: ImageReader
  readonly fileBytes: number
  readonly signal: AbortSignal
  /** Hears which tables will be read next, where to fetch them together is faster. */
  readonly prepare?: (tables: readonly FileRange[]) => Promise<void>
}

/**
 * The map of a qcow2 whose clusters all lie in the file as they lie on the disk, or why there is none: a compressed
 * cluster, one in two places, too many runs or tables. Throws InvalidImage for what unpacking would refuse in header
 * and tables, up to the first compressed cluster, and what reading throws.
 */
export async function mapClusters(request: MapClustersRequest): Promise<ClusterMap | NoClusterMap> {
  const { read, fileBytes, signal, prepare = async () => undefined } = request
  const { header, map: tables } = await readHeader(request)
  if (header.l1.length > MOST_TABLE_BYTES) return tooMuch(header.l1.length)
  await prepare([header.l1])
  await claimL2Tables(read, header, tables)
  const l2Tables: FileRange[] = []
  let tableBytes = header.l1.length
  for await (const { offset } of l2Places(read, header)) {
    if (offset === undefined) continue
    tableBytes += header.clusterBytes
    if (tableBytes <= MOST_TABLE_BYTES) l2Tables.push({ offset, length: header.clusterBytes })
  }
  if (tableBytes > MOST_TABLE_BYTES) return tooMuch(tableBytes)
  signal.throwIfAborted()
  await prepare(l2Tables)

  const maker = createClusterMapMaker({ fileBytes, virtualBytes: header.virtualBytes })
  for await (const run of runsOf(read, { header, fileBytes, map: tables }, RUN_LIMITS)) {
    signal.throwIfAborted()
    if (run.kind === 'compressed') return { why: COMPRESSED, isCompressed: true }
    if (run.kind === 'plain') maker.add({ ...run, length: lengthInFile(run, fileBytes) })
  }
  return maker.finish()
}

/**
 * Reads the tables of the proved file: they must say what the map says. Throws InvalidImage where they do not, and what
 * mapClusters throws.
 */
export async function requireSameClusters(
  map: ClusterMap,
  { read, fileBytes, signal }: MapClustersRequest,
): Promise<void> {
  const context = await readHeader({ read, fileBytes })
  await claimL2Tables(read, context.header, context.map)
  let found = 0
  for await (const run of runsOf(read, context, RUN_LIMITS)) {
    signal.throwIfAborted()
    if (run.kind === 'zero') continue
    if (run.kind === 'compressed' || !holds(map, run, fileBytes)) throw otherTables()
    found++
  }
  const { virtualBytes } = context.header
  if (found !== map.runCount || virtualBytes !== map.virtualBytes) throw otherTables()
}

function holds(map: ClusterMap, run: Extract<Run, { kind: 'plain' }>, fileBytes: number): boolean {
  const index = map.firstEndingAfter(run.host)
  if (index === map.runCount) return false
  const { host, guest, length } = map.run(index)
  return host === run.host && guest === run.guest && length === lengthInFile(run, fileBytes)
}

/** The last cluster of the file may be cut short: what is not there is zero, as QEMU reads it. */
function lengthInFile({ host, length }: { host: number; length: number }, fileBytes: number) {
  return Math.min(length, fileBytes - host)
}

async function readHeader({
  read,
  fileBytes,
}: Pick<MapClustersRequest, 'read' | 'fileBytes'>): Promise<TableContext> {
  const beginning = { offset: 0, length: Math.min(fileBytes, HEADER_BYTES) }
  const header = judgeQcow2Header(await read(beginning))
  return { header, fileBytes, map: createTableMap(header, fileBytes) }
}

function tooMuch(bytes: number): NoClusterMap {
  return { why: `its tables have ${bytes} bytes, and ${MOST_TABLE_BYTES} are read beforehand` }
}

function otherTables(): AgentError {
  return new AgentError(
    'InvalidImage',
    'the tables of the proved qcow2 say other places of its clusters than those that its server answered before: it ' +
      'serves two files',
  )
}
