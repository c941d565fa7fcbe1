// SPDX-License-Identifier: Apache-2.0
// Owns one delivery by the swarm: from what other sources have brought to the last piece, or to why there will be none.
// Does not end the run, which may seed afterwards.
import { throwIfAborted } from '../../core/deadline.ts'
import { AgentError } from '../../core/errors.ts'
import { formatBytes } from '../../core/units.ts'
import type { DeliverRequest } from '../source.ts'
import { createStallWatch, type Stall, type StallWatch } from './stall-watch.ts'
import type { SwarmTask } from './swarm-task.ts'
import { ON_DISK } from './thread/protocol.ts'
import { type SwarmDeps, type SwarmRun, startSwarmRun } from './thread/swarm-run.ts'
import type { Metainfo } from './torrent/metainfo.ts'
import { pieceRange } from './torrent/piece-layout.ts'

const LOOK_MS = 250
/** In `auto` a lost origin is not waited out longer than this if no peer is there either. */
const LONELY_MS = 5000
/** In `require` it is, for so many times the stall limit: there is nobody else, and a peer may still come. */
const LOST_ORIGIN_STALLS = 10

export interface SwarmDelivery {
  readonly run: SwarmRun
  /**
   * Resolves when every piece is verified and on the disk. Rejects with SwarmStalledError, SwarmError, the reason of
   * the request's signal, and what the sink threw.
   */
  readonly done: Promise<void>
}

/** Throws SwarmError if the budget of memory has no room. */
export function startDelivery(
  task: SwarmTask,
  deps: SwarmDeps,
  request: DeliverRequest,
): SwarmDelivery {
  return new WatchedDelivery(task, deps, request)
}

class WatchedDelivery implements SwarmDelivery {
  readonly run: SwarmRun
  readonly done: Promise<void>
  readonly #task: SwarmTask
  readonly #request: DeliverRequest
  readonly #outcome = Promise.withResolvers<void>()
  readonly #stall: StallWatch
  readonly #refusals: string[] = []
  #originLost: { readonly reason: string; readonly at: number } | undefined

  constructor(task: SwarmTask, deps: SwarmDeps, request: DeliverRequest) {
    this.#task = task
    this.#request = request
    this.#stall = createStallWatch(task.limits, performance.now())
    this.run = this.#startRun(deps)
    const onAbort = () => this.#abort()
    const timer = setInterval(() => this.#look(), LOOK_MS)
    request.signal.addEventListener('abort', onAbort, { once: true })
    this.done = this.#outcome.promise.finally(() => {
      clearInterval(timer)
      request.signal.removeEventListener('abort', onAbort)
    })
    if (this.run.isComplete) this.#outcome.resolve()
  }

  #startRun(deps: SwarmDeps): SwarmRun {
    const { metainfo } = this.#task.torrent
    const request = this.#request
    return startSwarmRun(this.#task, {
      ...deps,
      onDisk: claimsOf(metainfo, request),
      readImage: request.readImage,
      writePiece: (extent) => request.sink.write(extent),
      onPiece: () => {
        this.#stall.notePiece(performance.now(), metainfo.pieceLength)
        if (this.run.isComplete) this.#outcome.resolve()
      },
      onRefuted: (piece) => request.withdraw(pieceRange(metainfo, piece)),
      onOriginLost: (reason) => {
        this.#originLost = { reason, at: performance.now() }
      },
      onRefused: (address) => this.#refusals.push(address),
      onFailure: this.#outcome.reject,
    })
  }

  /** Is it still worth waiting? */
  #look(): void {
    const { canWaitForPeers } = this.#task.limits
    const { run } = this
    const lost = this.#originLost
    const at = performance.now()
    if (run.isWriting || run.isStarting) this.#stall.excuse(at, LOOK_MS)
    const stall = this.#stall.look(at, canWaitForPeers && lost ? LOST_ORIGIN_STALLS : 1)
    if (stall !== undefined) {
      this.#outcome.reject(stalled(run, stall, lost?.reason, this.#refusals))
    } else if (lost && !canWaitForPeers && run.figures.peers === 0) {
      const lonelyMs = Math.min(at - lost.at, this.#stall.silentMs(at))
      if (lonelyMs > LONELY_MS) this.#outcome.reject(lonely(lost.reason))
    }
  }

  #abort(): void {
    try {
      throwIfAborted(this.#request.signal)
    } catch (error) {
      this.#outcome.reject(error)
    }
  }
}

/** Pieces that another source has put on the disk: checked by the worker, then seeded, not fetched. */
function claimsOf(metainfo: Metainfo, request: DeliverRequest): Uint8Array {
  return Uint8Array.from({ length: metainfo.pieceCount }, (_, piece) =>
    request.coverage.has(pieceRange(metainfo, piece)) ? ON_DISK.claimed : ON_DISK.no,
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

function lonely(reason: string): AgentError {
  return new AgentError('SwarmError', `no peers, and the origin was given up: ${reason}`)
}
