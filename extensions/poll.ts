// SPDX-License-Identifier: Apache-2.0
// Owns the `poll` extension: the inventory on request, and the node set from outside in standalone use.
import type { Extension } from '../agent/commands/command.ts'
import type { ExtensionDeps } from './deps.ts'
import { answerInTime, assertOnly, invalidParams, requireObject } from './params.ts'

/** poll.get_hardware_info and poll.set_node_info (contract 5, 6.1). */
export function createPollExtension(deps: ExtensionDeps): Extension {
  return {
    name: 'poll',
    commands: {
      get_hardware_info: {
        kind: 'sync',
        validate: (params) => assertOnly('poll.get_hardware_info', params),
        run: (_params, context) =>
          answerInTime('poll.get_hardware_info', context.signal, () =>
            deps.hardware.dispatch('listHardwareInfo'),
          ),
      },
      set_node_info: {
        kind: 'sync',
        validate: (params) => {
          assertOnly('poll.set_node_info', params, ['node_info'])
          requireObject('poll.set_node_info', params, 'node_info')
          if (!deps.standalone) throw invalidParams('node info can only be set in standalone mode')
        },
        run: async (params) => {
          deps.nodeCache.set(requireObject('poll.set_node_info', params, 'node_info'))
          return null
        },
      },
    },
  }
}
