// SPDX-License-Identifier: Apache-2.0
// Owns a swarm worker that does its work and hangs after ten pieces.
import { parentPort } from 'node:worker_threads'
import { BUNDLED_SWARM_WORKER } from '../../../support/under-test.ts'

let pieces = 0
if (parentPort) {
  const post = parentPort.postMessage.bind(parentPort)
  parentPort.postMessage = (message: { kind: string }) => {
    post(message)
    if (message.kind !== 'piece') return
    pieces += 1
    if (pieces === 10) {
      setTimeout(() => {
        for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
      }, 50)
    }
  }
}
await (BUNDLED_SWARM_WORKER
  ? import(BUNDLED_SWARM_WORKER.href)
  : import('../../../../agent/sources/swarm/thread/swarm-worker.ts'))
