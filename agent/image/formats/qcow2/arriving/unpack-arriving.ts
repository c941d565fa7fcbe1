// SPDX-License-Identifier: Apache-2.0
// Owns the unpacking of a qcow2 while it comes in, in the order of its file: each cluster goes to its place as soon as
// the last of its bytes is there. Its tables are known before. Does not judge them.
/// <reference lib="esnext.disposable" />
import { AgentError } from '../../../../core/errors.ts'
import type { ImageReader } from '../../../../core/extent.ts'
import type { UnpackInOrder, UnpackInOrderRequest } from '../../unpacker.ts'
import { mostCompressedBytes } from '../clusters.ts'
import { createDecodeThreads } from '../decode/decode-threads.ts'
import { createRunLanes, placeRun, RUN_LIMITS, requireWindow } from '../place-run.ts'
import { createRunMaker, type Run } from '../runs.ts'
import { createArrivedBytes } from './arrived-bytes.ts'
import type { ArrivingMap } from './arriving-map.ts'
import type { ArrivingClusters } from './map-arriving.ts'
import { checkTableDigest } from './table-digest.ts'

/**
 * Rejects with InvalidImage for what does not decode, for a file that ends before its clusters do, and at its end for
 * one with other tables. Takes up to 57 MiB of memory besides the map.
 */
export function unpackArrivingQcow2(clusters: ArrivingClusters): UnpackInOrder {
  return async (request) => {
    const { chunks, window, sink, signal } = request
    const { header, fileBytes } = clusters
    requireWindow(header, window)
    const arrived = createArrivedBytes(mostRunBytes(clusters))
    const tables = checkTableDigest(clusters.digest)
    // before the first await: the bytes are the source's again when the next ones are asked for
    const read: ImageReader = async (range, target = new Uint8Array(range.length)) => {
      arrived.copy(range, target)
      return target
    }
    await using decoder = createDecodeThreads(header)
    const placing = { read, fileBytes, header, decoder, window, sink, readUnitBytes: 1 }
    using zeroing = startZeroing(clusters.map, request)
    // its end waits for what is under way, the threads end after it
    await using lanes = createRunLanes(header)
    const runs = runsInFileOrder(clusters.map)
    let next = runs.next()
    for await (const chunk of chunks) {
      signal.throwIfAborted()
      arrived.add(chunk)
      tables.add(chunk)
      while (!next.done && endInFile(next.value, fileBytes) <= arrived.end) {
        const run = next.value
        await lanes.start((lane) => placeRun(run, lane, placing))
        next = runs.next()
      }
      arrived.keepFrom(next.done ? arrived.end : next.value.host)
    }
    if (!next.done) throw endedEarly(next.value, arrived.end, fileBytes)
    await lanes.finish()
    await zeroing.done
    tables.requireSame()
    return header.virtualBytes
  }
}

type FileRun = Exclude<Run, { kind: 'zero' }>

/** Ascending by where they begin in the file; what follows each other there and on the guest's disk is one. */
function* runsInFileOrder(map: ArrivingMap): Generator<FileRun, undefined> {
  const maker = createRunMaker(RUN_LIMITS)
  for (let index = 0; index < map.pieceCount; index++) {
    const run = maker.add(map.piece(index))
    if (run && run.kind !== 'zero') yield run
  }
  const last = maker.finish()
  if (last && last.kind !== 'zero') yield last
}

/** The last cluster of the file may be cut short. */
function endInFile(run: FileRun, fileBytes: number): number {
  const length = run.kind === 'compressed' ? run.hostBytes : run.length
  return Math.min(fileBytes, run.host + length)
}

/** Of the file, in one run. */
function mostRunBytes({ header, fileBytes }: ArrivingClusters): number {
  const most = Math.max(RUN_LIMITS.guestBytes, RUN_LIMITS.hostBytes, mostCompressedBytes(header))
  return Math.min(most, fileBytes)
}

/**
 * What is zero lies nowhere in the file: it is made while that comes in. Disposal ends it before the next range; who
 * owns the sink waits for the one under way.
 */
function startZeroing(
  map: ArrivingMap,
  { window, sink, signal }: UnpackInOrderRequest,
): Disposable & { readonly done: Promise<void> } {
  let isEnding = false
  const make = async () => {
    for (const { offset, length } of map.zeros()) {
      if (isEnding) return
      signal.throwIfAborted()
      await sink.zero({ offset: window.offset + offset, length })
    }
  }
  const done = make()
  // met by who awaits it
  done.catch(() => undefined)
  return {
    done,
    [Symbol.dispose]: () => {
      isEnding = true
    },
  }
}

function endedEarly(run: FileRun, end: number, fileBytes: number): AgentError {
  return new AgentError(
    'InvalidImage',
    `${end} of the ${fileBytes} bytes of the qcow2 have come, and the cluster of the guest's bytes from ${run.guest} on, ` +
      `at byte ${run.host}, ends after them`,
  )
}
