// SPDX-License-Identifier: Apache-2.0
// Owns the watch on an agent's `GET /v1/status` beside an attack: how long the answers take, and how long
// those of a bare server take at the same time, which is this machine's own delay. Does not attack.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

/** Of all answers of one side, ms. */
export interface Latency {
  readonly count: number
  readonly failed: number
  readonly p50: number
  readonly p99: number
  readonly most: number
}

export interface StatusProbe extends AsyncDisposable {
  /** Ends the watch. */
  stop(): Promise<{ readonly agent: Latency; readonly machine: Latency }>
}

/**
 * Asks every 20 ms, one at a time, each over a connection that is kept, from a thread of its own.
 * @param agentUrl http or https; its certificate is not checked
 */
export async function startStatusProbe(agentUrl: URL): Promise<StatusProbe> {
  const worker = new Worker(new URL('./status-probe-thread.ts', import.meta.url), {
    workerData: { agentUrl: agentUrl.href },
  })
  await once(worker, 'message')
  return {
    stop: async () => {
      const answer = once(worker, 'message')
      worker.postMessage('stop')
      const [{ agent, machine }] = (await answer) as [{ agent: number[]; machine: number[] }]
      await worker.terminate()
      return { agent: latencyOf(agent), machine: latencyOf(machine) }
    },
    [Symbol.asyncDispose]: async () => {
      await worker.terminate()
    },
  }
}

/** @param times ms; Infinity for a request that had no answer */
export function latencyOf(times: readonly number[]): Latency {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
  return {
    count: sorted.length,
    failed: sorted.filter((time) => time === Number.POSITIVE_INFINITY).length,
    p50: at(0.5),
    p99: at(0.99),
    most: at(1),
  }
}
