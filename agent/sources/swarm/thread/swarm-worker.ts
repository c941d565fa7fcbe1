// SPDX-License-Identifier: Apache-2.0
// Owns the thread the swarm lives in: whatever crashes or hangs here does not reach heartbeats and API.
// Does not decide anything; session.ts does.
import { parentPort, workerData } from 'node:worker_threads'
import { messageOf } from '../../../core/errors.ts'
import { startSession } from '../session/session.ts'
import type { WorkerNews, WorkerOrder, WorkerTask } from './protocol.ts'

const port = parentPort
if (port === null) throw new Error('swarm-worker.ts runs as a worker thread only')
const tell = (news: WorkerNews) => port.postMessage(news)

// bittorrent-tracker reads and decodes a tracker's answer outside of its try: one that stalls, breaks
// off or makes no sense rejects a promise nobody holds. The next announce is independent of it.
const survive = (error: unknown) => {
  if (!isTrackerTrouble(error)) throw error
  tell({ kind: 'warning', message: 'tracker', fields: { message: messageOf(error) } })
}
process.on('unhandledRejection', survive)
process.on('uncaughtException', survive)

const early: WorkerOrder[] = []
port.on('message', (order: WorkerOrder) => early.push(order))
const session = await startSession(workerData as WorkerTask, tell)
port.removeAllListeners('message')
port.on('message', (order: WorkerOrder) => session.onOrder(order))
for (const order of early) session.onOrder(order)

/** What fetch throws when a body breaks off (`terminated`) or its time is up, and the library's own. */
function isTrackerTrouble(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error.message === 'terminated' || /^(AbortError|TimeoutError)$/.test(error.name)) return true
  return error.stack?.includes('/node_modules/bittorrent-tracker/') ?? false
}
