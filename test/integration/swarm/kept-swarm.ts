// SPDX-License-Identifier: Apache-2.0
// Owns a swarm that ends with its test: nodes, origins and trackers of lab.ts, each kept until then.
import {
  createHttpOrigin,
  type HttpOrigin,
  type HttpOriginFaults,
} from '../../support/http-origin.ts'
import { type Keep, keepUntilEnd } from '../../support/resources.ts'
import {
  type NodeOptions,
  startNode,
  startTracker,
  type TestNode,
  type TestTracker,
} from './lab.ts'

export interface KeptSwarm {
  readonly keep: Keep
  node(options: NodeOptions): TestNode
  serve(image: Uint8Array, faults?: HttpOriginFaults): Promise<HttpOrigin>
  startTracker(options?: Parameters<typeof startTracker>[0]): Promise<TestTracker>
}

/** For the head of a test file. */
export function keptSwarm(): KeptSwarm {
  const keep = keepUntilEnd()
  return {
    keep,
    node: (options) => keep(startNode(options)),
    serve: async (bytes, faults = {}) => keep(await createHttpOrigin({ bytes, faults })),
    startTracker: async (options) => keep(await startTracker(options)),
  }
}

/** Of a node that has the image from the start. */
export function havingAll(image: Uint8Array): Pick<NodeOptions, 'onDisk'> {
  return { onDisk: { range: { offset: 0, length: image.length }, bytes: image } }
}
