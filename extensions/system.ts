// SPDX-License-Identifier: Apache-2.0
// Owns the `system` extension: the lockdown of a machine that Ironic must not switch off (contract 5.6). Does not end
// anything by itself.
import { command, type Extension } from '../agent/commands/command.ts'
import type { ExtensionDeps } from '../agent/deploy/extension-deps.ts'
import { noParams } from './params.ts'

/**
 * system.lockdown. Of a node with `disable_power_off` a conductor calls it where it would switch the machine off, and
 * then waits until nobody answers at the agent's address any more; the instance starts by a reboot from outside. It is
 * sync, because the conductor reads its success from the answer, and comes after standby.sync.
 */
export function createSystemExtension(deps: ExtensionDeps): Extension {
  return {
    name: 'system',
    commands: {
      lockdown: command({
        kind: 'sync',
        parse: noParams('system.lockdown'),
        run: async () => {
          deps.log.info('locking the machine down')
          deps.lockDown()
          return null
        },
      }),
    },
  }
}
