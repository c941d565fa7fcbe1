// SPDX-License-Identifier: Apache-2.0
// Owns the swarm as an image source: a delivery with its stall limits, then seeding until it is disposed
// of. The library runs in a worker (thread/swarm-run.ts), so that this thread only moves verified pieces.
import { throwIfAborted, timerMs } from '../../core/deadline.ts'
import { AgentError } from '../../core/errors.ts'
import { formatBytes } from '../../core/units.ts'
import type { DeliverRequest, ImageSource, SourceStats } from '../source.ts'
import { createStallWatch, type Stall } from './stall-watch.ts'
import type { SwarmTask } from './swarm-task.ts'
import { NO_FIGURES, ON_DISK, type SwarmFigures } from './thread/protocol.ts'
import { type SwarmDeps, type SwarmRun, startSwarmRun } from './thread/swarm-run.ts'
import type { Metainfo } from './torrent/metainfo.ts'
import { pieceRange } from './torrent/piece-layout.ts'

export interface SwarmSourceDeps extends SwarmDeps {
  /** The rack's name if it is found out later; undefined if it is not. */
  readonly laterRack?: Promise<string | undefined> | undefined
}

export interface SwarmSource extends ImageSource {
  readonly name: 'swarm'
  stats(): SourceStats & SwarmFigures
  /** TCP port peers connect to, once the worker listens. */
  readonly port: number | undefined
  /** Resolves when it serves nobody any more: disposed of, or by the time or the ratio of its task. */
  readonly ended: Promise<void>
}

const LOOK_MS = 250
/** In `auto` a lost origin is not waited out longer than this if no peer is there either. */
const LONELY_MS = 5000
/** In `require` it is, for so many times the stall limit: there is nobody else, and a peer may still come. */
const LOST_ORIGIN_STALLS = 10

/**
 * The swarm as an ImageSource. `deliver` resolves when every piece is verified and written; it throws
 * SwarmStalledError after `stallTimeoutMs` without a new piece, or with next to nothing, SwarmError when the swarm cannot go on,
 * and what the sink threw. Every one but the last lets the next source go on from the coverage.
 */
export function createSwarmSource(task: SwarmTask, deps: SwarmSourceDeps): SwarmSource {
  const { metainfo } = task.torrent
  let run: SwarmRun | undefined
  let seedTimer: NodeJS.Timeout | undefined
  let ratioTimer: NodeJS.Timeout | undefined
  const ended = Promise.withResolvers<void>()

  async function close(): Promise<void> {
    clearTimeout(seedTimer)
    clearInterval(ratioTimer)
    await run?.close()
    ended.resolve()
  }

  async function deliver(request: DeliverRequest): Promise<void> {
    throwIfAborted(request.signal)
    checkLength(metainfo, request.totalBytes)
    const delivery = startDelivery(task, deps, request)
    run = delivery.run
    void deps.laterRack?.then((rack) => {
      if (rack !== undefined) delivery.run.nameRack(rack)
    })
    try {
      await delivery.done
    } catch (error) {
      await close()
      throw error
    }
    const { seedTimeMs, seedRatio } = task.limits
    if (seedTimeMs > 0) seedTimer = setTimeout(() => void close(), timerMs(seedTimeMs))
    if (seedRatio > 0) ratioTimer = setInterval(() => endAtRatio(seedRatio), LOOK_MS)
  }

  function endAtRatio(ratio: number): void {
    const uploadedBytes = run?.figures.uploadedBytes ?? 0
    if (uploadedBytes >= ratio * metainfo.lengthBytes) void close()
  }

  return {
    name: 'swarm',
    deliver,
    stats: () => run?.figures ?? NO_FIGURES,
    ended: ended.promise,
    get port() {
      return run?.port
    },
    [Symbol.asyncDispose]: close,
  }
}

function startDelivery(
  task: SwarmTask,
  deps: SwarmDeps,
  request: DeliverRequest,
): { run: SwarmRun; done: Promise<void> } {
  const { limits } = task
  const { metainfo } = task.torrent
  const { promise: done, resolve, reject } = Promise.withResolvers<void>()
  const stall = createStallWatch(limits, performance.now())
  const refusals: string[] = []
  let originLost: { readonly reason: string; readonly at: number } | undefined
  const run = startSwarmRun(task, {
    ...deps,
    onDisk: claimsOf(metainfo, request),
    readImage: request.readImage,
    writePiece: (extent) => request.sink.write(extent),
    onPiece: () => {
      stall.notePiece(performance.now(), metainfo.pieceLength)
      if (run.isComplete) resolve()
    },
    onRefuted: (piece) => request.withdraw(pieceRange(metainfo, piece)),
    onOriginLost: (reason) => {
      originLost = { reason, at: performance.now() }
    },
    onRefused: (address) => refusals.push(address),
    onFailure: reject,
  })

  function look(): void {
    const at = performance.now()
    if (run.isWriting || run.isStarting) stall.excuse(at, LOOK_MS)
    const silentMs = stall.silentMs(at)
    const isWaiting = limits.canWaitForPeers && originLost !== undefined
    const found = stall.look(at, isWaiting ? LOST_ORIGIN_STALLS : 1)
    if (found !== undefined) {
      reject(stalled(run, found, originLost?.reason, refusals))
    } else if (originLost && !limits.canWaitForPeers && run.figures.peers === 0) {
      const lonelyMs = Math.min(at - originLost.at, silentMs)
      if (lonelyMs > LONELY_MS) reject(lost(originLost.reason))
    }
  }

  const onAbort = () => {
    try {
      throwIfAborted(request.signal)
    } catch (error) {
      reject(error)
    }
  }
  const timer = setInterval(look, LOOK_MS)
  request.signal.addEventListener('abort', onAbort, { once: true })
  const settled = done.finally(() => {
    clearInterval(timer)
    request.signal.removeEventListener('abort', onAbort)
  })
  if (run.isComplete) resolve()
  return { run, done: settled }
}

/** Pieces that another source has put on the disk: checked by the worker, then seeded, not fetched. */
function claimsOf(metainfo: Metainfo, request: DeliverRequest): Uint8Array {
  return Uint8Array.from({ length: metainfo.pieceCount }, (_, piece) =>
    request.coverage.has(pieceRange(metainfo, piece)) ? ON_DISK.claimed : ON_DISK.no,
  )
}

function checkLength(metainfo: Metainfo, totalBytes: number): void {
  if (metainfo.lengthBytes === totalBytes) return
  throw new AgentError(
    'InvalidMetainfoError',
    `the torrent describes ${metainfo.lengthBytes} bytes, the image has ${totalBytes}; ` +
      'make the torrent from this very image',
  )
}

function stalled(
  run: SwarmRun,
  stall: Stall,
  originLost: string | undefined,
  refusals: readonly string[],
): AgentError {
  const { peers, peerBytes, originBytes } = run.figures
  return new AgentError(
    'SwarmStalledError',
    `${wordsOf(stall)} with ${peers} peers ` +
      `(${formatBytes(peerBytes)} from peers, ${formatBytes(originBytes)} from the origin)` +
      `${originLost === undefined ? '' : `; the origin was given up: ${originLost}`}` +
      `${refusalsOf(refusals)}; check trackers and the network between nodes`,
  )
}

function wordsOf({ ms, bytes }: Stall): string {
  const time = `${Math.round(ms / 1000)} s`
  return bytes === 0 ? `no new piece for ${time}` : `no more than ${formatBytes(bytes)} in ${time}`
}

function refusalsOf(addresses: readonly string[]): string {
  if (addresses.length === 0) return ''
  return `; ${addresses.join(', ')} closed the connection at the handshake: does it require encryption (BEP 8)?`
}

function lost(reason: string): AgentError {
  return new AgentError('SwarmError', `no peers, and the origin was given up: ${reason}`)
}
