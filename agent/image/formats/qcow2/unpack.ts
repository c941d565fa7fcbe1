// SPDX-License-Identifier: Apache-2.0
// Owns the unpacking of a qcow2 that is kept: table by table, runs of its clusters go to their places on the disk. Does
// not judge what stands in the file; header.ts, table-map.ts and clusters.ts do.
import type { Unpack } from '../unpacker.ts'
import { createDecodeThreads } from './decode/decode-threads.ts'
import { HEADER_BYTES } from './fields.ts'
import { judgeQcow2Header } from './header.ts'
import { createRunLanes, placeRun, RUN_LIMITS, requireWindow } from './place-run.ts'
import { createTableMap } from './table-map.ts'
import { claimL2Tables } from './tables.ts'
import { checkTables, runsOf } from './walk.ts'

/** Reads of compressed clusters begin and end at these: O_DIRECT would read all of a sector anyway. */
const READ_UNIT_BYTES = 4096

/**
 * Unpacks a qcow2 of version 2 or 3: what snapshots and saved states hold is left out, what is not allocated is
 * zero. All tables are checked before the first byte is written. Takes up to 42 MiB of memory, most of it by decoders.
 */
export const unpackQcow2: Unpack = async (request) => {
  const { read, fileBytes, window, sink, signal } = request
  const firstBytes = { offset: 0, length: Math.min(fileBytes, HEADER_BYTES) }
  const header = judgeQcow2Header(await read(firstBytes))
  requireWindow(header, window)
  const context = { header, fileBytes, map: createTableMap(header, fileBytes) }
  await claimL2Tables(read, header, context.map)
  await checkTables(read, context, signal)

  await using decoder = createDecodeThreads(header)
  const placing = { read, fileBytes, header, decoder, window, sink, readUnitBytes: READ_UNIT_BYTES }
  // its end waits for what is under way, the threads end after it
  await using lanes = createRunLanes(header)
  for await (const run of runsOf(read, context, RUN_LIMITS)) {
    signal.throwIfAborted()
    await lanes.start((lane) => placeRun(run, lane, placing))
  }
  await lanes.finish()
  return header.virtualBytes
}
