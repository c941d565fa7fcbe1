// SPDX-License-Identifier: Apache-2.0
// Owns the unpacking of a qcow2: table by table, runs of its clusters go to their places on the disk. Does not
// judge what stands in the file; header.ts, table-map.ts and clusters.ts do.
import { AgentError } from '../../../core/errors.ts'
import type { ImageReader } from '../../../core/extent.ts'
import { KiB, MiB, roundDown, roundUp } from '../../../core/units.ts'
import { allocateAligned } from '../../../disk/aligned-pool.ts'
import type { Unpack, UnpackRequest } from '../unpacker.ts'
import { mostCompressedBytes } from './clusters.ts'
import { createClusterDecoder, type DecodeCluster } from './decode.ts'
import { HEADER_BYTES } from './fields.ts'
import { judgeQcow2Header, type Qcow2Header } from './header.ts'
import { createLanes } from './lanes.ts'
import type { Run } from './runs.ts'
import { createTableMap } from './table-map.ts'
import { claimL2Tables } from './tables.ts'
import { checkTables, runsOf } from './walk.ts'

/** Of the guest's bytes, and of compressed ones that are read for them. */
const RUN_LIMITS = { guestBytes: 2 * MiB, hostBytes: 1 * MiB } as const
/** Reads of compressed clusters begin and end at these: O_DIRECT would read all of a sector anyway. */
const READ_UNIT_BYTES = 4 * KiB
const LANES = 3
/** Decoders at the same time on a lane; their output and their windows are memory too. */
const DECODERS_OF_A_LANE = 2

/** Above it one decoder a lane is enough. */
const LARGE_CLUSTER_BYTES = 512 * KiB

/** Memory of one run. */
interface Lane {
  readonly output: Uint8Array<ArrayBuffer>
  /** Made by the first run of compressed clusters. */
  input: Uint8Array<ArrayBuffer> | undefined
}

interface Unpacking extends UnpackRequest {
  readonly header: Qcow2Header
  readonly decode: DecodeCluster
}

/**
 * Unpacks a qcow2 of version 2 or 3: what snapshots and saved states hold is left out, what is not allocated is
 * zero. All tables are checked before the first byte is written. Takes up to 42 MiB of memory, most of it by decoders.
 */
export const unpackQcow2: Unpack = async (request) => {
  const { read, fileBytes, window, signal } = request
  const firstBytes = { offset: 0, length: Math.min(fileBytes, HEADER_BYTES) }
  const header = judgeQcow2Header(await read(firstBytes))
  if (header.virtualBytes > window.length) {
    throw new AgentError(
      'InvalidImage',
      `the qcow2 holds a disk of ${header.virtualBytes} bytes; there is room for ${window.length}`,
    )
  }
  const context = { header, fileBytes, map: createTableMap(header, fileBytes) }
  await claimL2Tables(read, header, context.map)
  await checkTables(read, context, signal)

  const unpacking = { ...request, header, decode: createClusterDecoder(header) }
  const outputBytes = Math.min(
    Math.max(RUN_LIMITS.guestBytes, header.clusterBytes),
    roundUp(header.virtualBytes, READ_UNIT_BYTES),
  )
  await using lanes = createLanes<Lane>(LANES, () => ({
    output: allocateAligned(outputBytes),
    input: undefined,
  }))
  for await (const run of runsOf(read, context, RUN_LIMITS)) {
    signal.throwIfAborted()
    await lanes.start((lane) => place(run, lane, unpacking))
  }
  await lanes.finish()
  return header.virtualBytes
}

async function place(run: Run, lane: Lane, { window, sink, ...unpacking }: Unpacking) {
  const offset = window.offset + run.guest
  if (run.kind === 'zero') {
    await sink.zero({ offset, length: run.length })
    return
  }
  const data = lane.output.subarray(0, run.length)
  if (run.kind === 'plain') await fillPlain(run, data, unpacking)
  else await fillDecoded(run, data, lane, unpacking)
  await sink.write({ offset, data, from: 'file' })
}

type Reading = Omit<Unpacking, 'window' | 'sink'>
type PlainRun = Extract<Run, { kind: 'plain' }>
type CompressedRun = Extract<Run, { kind: 'compressed' }>

/** The last cluster of the file may be cut short: what is not there is zero, as QEMU reads it. */
async function fillPlain(run: PlainRun, data: Uint8Array, { read, fileBytes }: Reading) {
  const length = Math.min(run.length, fileBytes - run.host)
  await readInto(data.subarray(0, length), run.host, read)
  data.fill(0, length)
}

async function fillDecoded(run: CompressedRun, data: Uint8Array, lane: Lane, reading: Reading) {
  const { read, fileBytes, header, decode } = reading
  lane.input ??= allocateAligned(
    Math.max(RUN_LIMITS.hostBytes, mostCompressedBytes(header)) + 2 * READ_UNIT_BYTES,
  )
  const start = roundDown(run.host, READ_UNIT_BYTES)
  const end = Math.min(fileBytes, roundUp(run.host + run.hostBytes, READ_UNIT_BYTES))
  const input = lane.input.subarray(0, end - start)
  await readInto(input, start, read)
  const queue = run.clusters.values()
  const decodeNext = async () => {
    for (const { guest, length, host, hostBytes } of queue) {
      const where = `of the guest's bytes from ${guest} on, at byte ${host} of the qcow2,`
      const compressed = input.subarray(host - start, host - start + hostBytes)
      const at = guest - run.guest
      await decode(compressed, data.subarray(at, at + length), where)
    }
  }
  const count = header.clusterBytes >= LARGE_CLUSTER_BYTES ? 1 : DECODERS_OF_A_LANE
  // all of them: none may use the lane after it was given to another run
  const ends = await Promise.allSettled(Array.from({ length: count }, decodeNext))
  const failed = ends.find((end) => end.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

/** A reader may return other memory than it was handed. */
async function readInto(target: Uint8Array, offset: number, read: ImageReader) {
  const found = await read({ offset, length: target.length }, target)
  if (found.buffer !== target.buffer) target.set(found)
}
