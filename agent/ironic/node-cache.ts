// SPDX-License-Identifier: Apache-2.0
// Owns the last node object that Ironic told us (lookup, or the `node` of a step): root device hints
// and boot mode are read from it. Does not fetch anything, and does not keep the config drive.
import { isObject, type JsonObject, stringAt } from '../core/json.ts'

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
      node = withoutConfigDrive(next)
      return isOther
    },
  }
}

/** The node without `instance_info.configdrive`: it comes with the command that writes it, and may have 84 MiB. */
export function withoutConfigDrive(node: JsonObject): JsonObject {
  const info = node['instance_info']
  if (!isObject(info) || !('configdrive' in info)) return node
  const { configdrive: _, ...rest } = info
  return { ...node, instance_info: rest }
}
