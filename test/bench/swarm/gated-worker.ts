// SPDX-License-Identifier: Apache-2.0
// Owns a swarm worker that has loaded everything and waits for the start of the run, so that N programs
// that start on two cores are not what is measured. Then it is the agent's own worker.
import { parentPort } from 'node:worker_threads'
import type { WorkerNews } from '../../../agent/sources/swarm/thread/protocol.ts'
import '../../../agent/sources/swarm/session/session.ts'
import { gateOpened, noteReady } from './gate.ts'

// proof of life, or the agent takes the worker for hung
const pulse = setInterval(() => {
  const figures = { peers: 0, uploadedBytes: 0, originBytes: 0, peerBytes: 0, duplicateBytes: 0 }
  parentPort?.postMessage({ kind: 'pulse', figures } satisfies WorkerNews)
}, 500)
noteReady()
await gateOpened()
clearInterval(pulse)
await import('../../../agent/sources/swarm/thread/swarm-worker.ts')
