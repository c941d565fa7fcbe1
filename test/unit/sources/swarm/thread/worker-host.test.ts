import { afterEach, expect, test } from 'vitest'
import type { AgentError } from '../../../../../agent/core/errors.ts'
import type { WorkerTask } from '../../../../../agent/sources/swarm/thread/protocol.ts'
import {
  createWorkerStarter,
  type WorkerHost,
} from '../../../../../agent/sources/swarm/thread/worker-host.ts'

const hosts: WorkerHost[] = []
afterEach(async () => {
  for (const host of hosts.splice(0)) await host.close()
})

const FIGURES = '{ peers: 7, uploadedBytes: 0, originBytes: 0, peerBytes: 0, duplicateBytes: 0 }'
const PULSE = `parentPort.postMessage({ kind: 'pulse', figures: ${FIGURES} })`

/** A worker that runs `body`; resolves with the host at its end, and why it ended. */
function watch(body: string, limits: { hangMs: number; startMs: number }) {
  const code = `import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => parentPort.postMessage({ kind: 'closed' })); ${body}`
  const { promise: lost, resolve } = Promise.withResolvers<AgentError>()
  const script = new URL(`data:text/javascript,${encodeURIComponent(code)}`)
  const start = createWorkerStarter({ script, ...limits })
  const host = start({} as WorkerTask, { onNews: () => undefined, onLost: resolve })
  hosts.push(host)
  return { host, lost }
}

test('a worker may take its time to start, and is watched closely from its first word on', async () => {
  const { host, lost } = watch(`setTimeout(() => ${PULSE}, 2500)`, { hangMs: 400, startMs: 60_000 })
  expect(host.isUp).toBe(false)
  expect((await lost).message).toMatch(/hangs: no sign of life/)
  // it was not taken for hanging before it had started
  expect(host.isUp).toBe(true)
  expect(host.figures.peers).toBe(7)
})

test('a worker that never starts is given up', async () => {
  const { host, lost } = watch('', { hangMs: 60_000, startMs: 500 })
  expect((await lost).message).toMatch(/has not started within/)
  expect(host.isUp).toBe(false)
})

test('a worker with a pulse lives on', async () => {
  const { host, lost } = watch(`setInterval(() => ${PULSE}, 50)`, {
    hangMs: 30_000,
    startMs: 30_000,
  })
  await expect.poll(() => host.isUp).toBe(true)
  let isLost = false
  void lost.then(() => {
    isLost = true
  })
  await host.close()
  expect(isLost).toBe(false)
})
