// SPDX-License-Identifier: Apache-2.0
// Owns the thread in which patterns of operators meet texts: one that takes for ever to match is ended with its thread.
// Is told all at its start, and answers once a pattern.
import { parentPort, workerData } from 'node:worker_threads'
import type { PatternNews, PatternTask } from './pattern-task.ts'

const { sources, flags, texts } = workerData as PatternTask

parentPort?.postMessage('ready' satisfies PatternNews)
for (const source of sources) {
  const pattern = new RegExp(source, flags)
  const matches = [...texts.keys()].filter((i) => pattern.test(texts[i] as string))
  parentPort?.postMessage({ matches } satisfies PatternNews)
}
