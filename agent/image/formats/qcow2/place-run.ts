// SPDX-License-Identifier: Apache-2.0
// Owns the way of one run to its place on the disk, and the memory it takes meanwhile: read, decoded where it is
// compressed, written. Does not know where the file comes from, nor in which order runs follow.
import { AgentError } from '../../../core/errors.ts'
import type { DiskRange, ImageReader } from '../../../core/extent.ts'
import { copyToShared } from '../../../core/shared-copy.ts'
import { MiB, roundDown, roundUp } from '../../../core/units.ts'
import { allocateShared } from '../../../disk/aligned-pool.ts'
import type { UnpackSink } from '../unpacker.ts'
import { mostCompressedBytes } from './clusters.ts'
import type { DecodeThreads } from './decode/decode-threads.ts'
import type { Qcow2Header } from './header.ts'
import { createLanes, type Lanes } from './lanes.ts'
import type { Run } from './runs.ts'

/** Of the guest's bytes, and of compressed ones that are read for them. */
export const RUN_LIMITS = { guestBytes: 2 * MiB, hostBytes: 1 * MiB } as const
/** Runs that are read, decoded and written at the same time: while the disk syncs, others are decoded. */
const LANES = 6
/** What reads of compressed clusters are rounded to is no more. */
const MOST_READ_UNIT_BYTES = 4096

/** Memory of one run. */
export interface RunLane {
  readonly output: Uint8Array<SharedArrayBuffer>
  /** Made by the first run of compressed clusters. */
  input: Uint8Array<SharedArrayBuffer> | undefined
}

export interface RunPlacing {
  /** Bytes of the file; asked for before placeRun returns its promise. */
  readonly read: ImageReader
  readonly fileBytes: number
  readonly header: Qcow2Header
  readonly decoder: DecodeThreads
  readonly window: DiskRange
  readonly sink: UnpackSink
  /** Reads of compressed clusters begin and end at multiples of it, 4 KiB at most. */
  readonly readUnitBytes: number
}

/** Throws InvalidImage for a disk that the window has no room for. */
export function requireWindow({ virtualBytes }: Qcow2Header, { length }: DiskRange): void {
  if (virtualBytes <= length) return
  throw new AgentError(
    'InvalidImage',
    `the qcow2 holds a disk of ${virtualBytes} bytes; there is room for ${length}`,
  )
}

/** Up to six, with 12 MiB for what comes out of them, and as much at most for what goes into them. */
export function createRunLanes(header: Qcow2Header): Lanes<RunLane> {
  const most = Math.max(RUN_LIMITS.guestBytes, header.clusterBytes)
  const outputBytes = Math.min(most, roundUp(header.virtualBytes, MOST_READ_UNIT_BYTES))
  return createLanes<RunLane>(LANES, () => ({
    output: allocateShared(outputBytes),
    input: undefined,
  }))
}

/** Resolves when the run is with the sink. Throws InvalidImage for what does not decode. */
export async function placeRun(run: Run, lane: RunLane, placing: RunPlacing): Promise<void> {
  const { window, sink } = placing
  const offset = window.offset + run.guest
  if (run.kind === 'zero') {
    await sink.zero({ offset, length: run.length })
    return
  }
  const data = lane.output.subarray(0, run.length)
  if (run.kind === 'plain') await fillPlain(run, data, placing)
  else await fillDecoded(run, data, lane, placing)
  await sink.write({ offset, data, from: 'file' })
}

type PlainRun = Extract<Run, { kind: 'plain' }>
type CompressedRun = Extract<Run, { kind: 'compressed' }>
type PackedPiece = CompressedRun['clusters'][number]

/** The last cluster of the file may be cut short: what is not there is zero, as QEMU reads it. */
async function fillPlain(run: PlainRun, data: Uint8Array, { read, fileBytes }: RunPlacing) {
  const length = Math.min(run.length, fileBytes - run.host)
  await readInto(data.subarray(0, length), run.host, read)
  data.fill(0, length)
}

async function fillDecoded(
  run: CompressedRun,
  data: Uint8Array,
  lane: RunLane,
  { read, fileBytes, header, decoder, readUnitBytes }: RunPlacing,
) {
  lane.input ??= allocateShared(
    Math.max(RUN_LIMITS.hostBytes, mostCompressedBytes(header)) + 2 * MOST_READ_UNIT_BYTES,
  )
  const start = roundDown(run.host, readUnitBytes)
  const end = Math.min(fileBytes, roundUp(run.host + run.hostBytes, readUnitBytes))
  const input = lane.input.subarray(0, end - start)
  await readInto(input, start, read)
  const clusters = run.clusters.map(({ guest, length, host, hostBytes }) => ({
    from: host - start,
    bytes: hostBytes,
    to: guest - run.guest,
    length,
  }))
  const broken = await decoder.decode({ input, output: data, clusters })
  if (broken) throw brokenCluster(run.clusters[broken.index] as PackedPiece, broken.why)
}

/** @param why what is wrong, as DecodeAnswer tells it */
export function brokenCluster({ guest, host }: PackedPiece, why: string): AgentError {
  return new AgentError(
    'InvalidImage',
    `the compressed cluster of the guest's bytes from ${guest} on, at byte ${host} of the qcow2, ${why}`,
  )
}

/** A reader may return other memory than it was handed. */
async function readInto(target: Uint8Array, offset: number, read: ImageReader) {
  const found = await read({ offset, length: target.length }, target)
  if (found.buffer !== target.buffer) copyToShared(target, found, 0)
}
