// SPDX-License-Identifier: Apache-2.0
// Owns the thread that decodes compressed clusters, from shared memory into shared memory, one order after the other.
// Does not know where they lie; decode-threads.ts starts it.
import { parentPort, workerData } from 'node:worker_threads'
import {
  type ClusterPacking,
  createClusterDecoder,
  type DecodeAnswer,
  type DecodeOrder,
  decodeOrder,
} from './cluster-decoder.ts'

function serve(port: NonNullable<typeof parentPort>, packing: ClusterPacking): void {
  const decode = createClusterDecoder(packing)
  port.on('message', (order: DecodeOrder) => {
    port.postMessage(decodeOrder(order, decode) satisfies DecodeAnswer)
  })
}

if (parentPort) serve(parentPort, workerData as ClusterPacking)
