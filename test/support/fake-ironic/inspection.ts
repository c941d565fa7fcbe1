// SPDX-License-Identifier: Apache-2.0
// Owns what the stand-in does with inspection data: `/v1/continue_inspection` of Ironic 29 and later
// (contract 6.3), and `/v1/continue` of ironic-inspector. Does not keep the data; apiCalls have them.
import { ApiError } from './api-rules.ts'
import { lookupView, type NodeRecord } from './node.ts'

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i
/** From this minor on the answer is that of a lookup. */
const LOOKUP_ANSWER = 84

export const INSPECTION_PATHS: readonly string[] = ['/v1/continue_inspection', '/v1/continue']

/**
 * The answer, once the data are found to be of a node that waits for them; the node goes on.
 * Throws ApiError as Ironic refuses.
 * @param minor of API version 1.x that was asked for; 1 without a header
 */
export function continueInspection(
  nodes: Iterable<NodeRecord>,
  body: unknown,
  minor: number,
  url: string,
): unknown {
  if (minor > 1 && minor < LOOKUP_ANSWER) {
    throw new ApiError(404, 'API version 1.84 or newer is required')
  }
  const { inventory, error } = (body ?? {}) as {
    inventory?: { interfaces?: { mac_address?: unknown }[] }
    error?: unknown
  }
  const macs = (inventory?.interfaces ?? []).map(({ mac_address }) => mac_address)
  if (macs.length === 0 || !macs.every((mac) => typeof mac === 'string' && MAC.test(mac))) {
    throw new ApiError(400, "Schema error for data: 'interfaces' is a required property")
  }
  const node = [...nodes].find((each) => each.macs.some((mac) => macs.includes(mac)))
  if (node?.state !== 'inspect wait') throw new ApiError(404, 'Resource could not be found.')
  node.state = typeof error === 'string' ? 'inspect failed' : 'manageable'
  node.lastError = typeof error === 'string' ? error : null
  return minor < LOOKUP_ANSWER ? { uuid: node.uuid } : { node: lookupView(node, url) }
}
