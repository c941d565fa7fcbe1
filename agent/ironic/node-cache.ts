// SPDX-License-Identifier: Apache-2.0
// Owns the last node object that Ironic told us (lookup, or the `node` of a step): root device hints
// and boot mode are read from it. Does not fetch anything.
import { type JsonObject, stringAt } from '../core/json.ts'

export interface NodeCache {
  current(): JsonObject | undefined
  uuid(): string | undefined
  /** True if it is another node than before: its root disk may have to be waited for again (2.5). */
  set(node: JsonObject): boolean
}

export function createNodeCache(): NodeCache {
  let node: JsonObject | undefined
  return {
    current: () => node,
    uuid: () => stringAt(node, 'uuid'),
    set: (next) => {
      const isOther = stringAt(next, 'uuid') !== stringAt(node, 'uuid')
      node = next
      return isOther
    },
  }
}
