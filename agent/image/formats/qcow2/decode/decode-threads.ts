// SPDX-License-Identifier: Apache-2.0
// Owns the threads that decode compressed clusters, so that fetching, writing and reading back go on meanwhile: the first
// few are decoded here, which takes less time than the start of a thread. Does not read the file.
/// <reference lib="esnext.disposable" />
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { endedOrLate } from '../../../../core/deadline.ts'
import { AgentError } from '../../../../core/errors.ts'
import { MiB } from '../../../../core/units.ts'
import { createTurns } from '../turns.ts'
import {
  type ClusterPacking,
  createClusterDecoder,
  type DecodeAnswer,
  type DecodeOrder,
  decodeOrder,
} from './cluster-decoder.ts'

/** Decoded bytes before the first thread is started. */
const ALONE_BYTES = 8 * MiB
/** Each takes 10 MiB of memory; what is written to disks is no faster than two of them decode. */
const MOST_THREADS = 2
/** How long the end of a thread is waited for, ms: on a crowded machine it takes seconds. */
const TERMINATE_MS = 30_000

export interface DecodeThreads extends AsyncDisposable {
  /**
   * Resolves to the cluster that is broken. The memory of the order is shared and stays as it is until then. Throws
   * ImageWriteError where a thread ended by itself.
   */
  decode(order: DecodeOrder): Promise<DecodeAnswer>
}

export interface DecodeThreadsOptions extends ClusterPacking {
  readonly aloneBytes?: number
}

/** Starts threads when they are of use; disposal ends them. */
export function createDecodeThreads(options: DecodeThreadsOptions): DecodeThreads {
  const { aloneBytes = ALONE_BYTES, compression, clusterBytes } = options
  const packing: ClusterPacking = { compression, clusterBytes }
  const decodeCluster = createClusterDecoder(packing)
  const threads: DecodeThread[] = []
  let decodedBytes = 0

  const decodeHere = async (order: DecodeOrder): Promise<DecodeAnswer> => {
    const turns = createTurns()
    for (const [index, cluster] of order.clusters.entries()) {
      await turns.turn()
      const broken = decodeOrder({ ...order, clusters: [cluster] }, decodeCluster)
      if (broken) return { index, why: broken.why }
    }
    return null
  }
  const mostThreads = Math.min(MOST_THREADS, availableParallelism())
  /** The one with the least to do; another one where all have something. */
  const threadFor = (): DecodeThread => {
    const idlest = threads.toSorted((a, b) => a.owedOrders - b.owedOrders)[0]
    if (idlest && (idlest.owedOrders === 0 || threads.length === mostThreads)) return idlest
    const thread = startDecodeThread(packing)
    threads.push(thread)
    return thread
  }
  return {
    decode: async (order) => {
      const isAlone = decodedBytes < aloneBytes
      decodedBytes += order.output.length
      return await (isAlone ? decodeHere(order) : threadFor().decode(order))
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(threads.map((thread) => thread[Symbol.asyncDispose]()))
    },
  }
}

interface DecodeThread extends AsyncDisposable {
  /** Without an answer yet. */
  readonly owedOrders: number
  decode(order: DecodeOrder): Promise<DecodeAnswer>
}

function startDecodeThread(packing: ClusterPacking): DecodeThread {
  /** In the order of the orders. */
  const owed: PromiseWithResolvers<DecodeAnswer>[] = []
  let ended: AgentError | undefined
  const end = (why: string, cause?: unknown) => {
    ended ??= new AgentError(
      'ImageWriteError',
      `the thread that decodes the clusters of the qcow2 ended: ${why}; deploy again, on a machine with more memory`,
      { cause },
    )
    for (const { reject } of owed.splice(0)) reject(ended)
  }
  const worker = new Worker(new URL('./decode-worker.ts', import.meta.url), {
    name: 'decode',
    workerData: packing,
    // clusters lie outside of the heap
    resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 },
  })
  worker.on('message', (answer: DecodeAnswer) => owed.shift()?.resolve(answer))
  worker.on('error', (error) => end(error.message, error))
  worker.on('exit', (code) => end(`code ${code}`))
  return {
    get owedOrders() {
      return owed.length
    },
    decode: (order) => {
      if (ended) return Promise.reject(ended)
      const answer = Promise.withResolvers<DecodeAnswer>()
      owed.push(answer)
      worker.postMessage(order)
      return answer.promise
    },
    [Symbol.asyncDispose]: () => endedOrLate(worker.terminate(), TERMINATE_MS),
  }
}
