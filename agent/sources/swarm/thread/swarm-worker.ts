// SPDX-License-Identifier: Apache-2.0
// Owns the thread the swarm lives in: whatever crashes or hangs here does not reach heartbeats and API.
// Does not decide anything; session.ts does.
import { parentPort, workerData } from 'node:worker_threads'
import { startSession } from '../session/session.ts'
import type { WorkerNews, WorkerOrder, WorkerTask } from './protocol.ts'

const port = parentPort
if (port === null) throw new Error('swarm-worker.ts runs as a worker thread only')
const tell = (news: WorkerNews) => port.postMessage(news)

const early: WorkerOrder[] = []
port.on('message', (order: WorkerOrder) => early.push(order))
const session = await startSession(workerData as WorkerTask, tell)
port.removeAllListeners('message')
port.on('message', (order: WorkerOrder) => session.onOrder(order))
for (const order of early) session.onOrder(order)
