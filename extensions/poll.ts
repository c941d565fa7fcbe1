// SPDX-License-Identifier: Apache-2.0
// Owns the `poll` extension: the inventory on request. A node set from outside is for IPA's standalone
// mode, which this agent does not have.
import { command, type Extension } from '../agent/commands/command.ts'
import type { ExtensionDeps } from '../agent/deploy/extension-deps.ts'
import { answerInTime, assertOnly, invalidParams, noParams, requireObject } from './params.ts'

/** poll.get_hardware_info, and poll.set_node_info, which is always refused (contract 5, 6.1). */
export function createPollExtension(deps: ExtensionDeps): Extension {
  return {
    name: 'poll',
    commands: {
      get_hardware_info: command({
        kind: 'sync',
        parse: noParams('poll.get_hardware_info'),
        run: (_params, context) =>
          answerInTime('poll.get_hardware_info', context.signal, () =>
            deps.hardware.dispatch('listHardwareInfo'),
          ),
      }),
      set_node_info: command({
        kind: 'sync',
        parse: (params): never => {
          assertOnly('poll.set_node_info', params, ['node_info'])
          requireObject('poll.set_node_info', params, 'node_info')
          throw invalidParams('node info can only be set in standalone mode')
        },
        run: async () => null,
      }),
    },
  }
}
