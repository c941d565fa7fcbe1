// SPDX-License-Identifier: Apache-2.0
// Owns the manager of Intel's converged network adapters (i40e): the card has an LLDP agent of its own, which keeps
// what switches say from the kernel, so it is stopped where LLDP is wanted (ironic-python-agent's cna).
import { writeFile } from 'node:fs/promises'
import type { Config } from '../../config/options.ts'
import { withDeadline } from '../../core/deadline.ts'
import { AgentError, messageOf } from '../../core/errors.ts'
import type { Root } from '../../system/root.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { type HardwareManager, SUPPORT } from '../manager.ts'

export interface IntelCnaDeps {
  readonly config: Pick<Config, 'collect_lldp'>
  readonly root: Root
  readonly log: Pick<Logger, 'info' | 'warn'>
}

/** One file for each card, by its PCI address (Documentation/networking/device_drivers/ethernet/intel/i40e). */
const COMMANDS = '/sys/kernel/debug/i40e'
/** A card that does not answer, ms. */
const WRITE_TIMEOUT_MS = 5000

/** The manager `IntelCnaHardwareManager`, of machines with such a card. */
export function createIntelCnaManager(deps: IntelCnaDeps): HardwareManager {
  const { config, root } = deps
  return {
    name: 'IntelCnaHardwareManager',
    version: '1.0',
    label: 'IntelCnaHardwareManager',
    evaluateHardwareSupport: async () => {
      for (const name of await root.list('/sys/class/net')) {
        const driver = await root.linkName(`/sys/class/net/${name}/device/driver/module`)
        if (driver === 'i40e') return SUPPORT.MAINLINE
      }
      return SUPPORT.NONE
    },
    initialize: async () => {
      if (config.collect_lldp) await stopOwnLldp(deps)
    },
    steps: [],
  }
}

/** Never throws: without it switches are not heard, and nothing else is lost. */
async function stopOwnLldp({ root, log }: IntelCnaDeps): Promise<void> {
  const cards = await root.list(COMMANDS)
  if (cards.length === 0) {
    return log.warn(
      { path: COMMANDS },
      'no way to the LLDP agent of i40e cards, which keeps LLDP to itself: is debugfs mounted?',
    )
  }
  for (const card of cards) {
    try {
      const path = root.path(`${COMMANDS}/${card}/command`)
      await withDeadline(writeFile(path, 'lldp stop', { flag: 'r+' }), WRITE_TIMEOUT_MS, hangs)
      log.info({ pci_address: card }, 'LLDP agent of the card stopped')
    } catch (error) {
      const reason = messageOf(error)
      log.warn({ pci_address: card, reason }, 'LLDP agent of the card goes on')
    }
  }
}

function hangs(): AgentError {
  return new AgentError('CommandExecutionError', `no answer within ${WRITE_TIMEOUT_MS / 1000} s`)
}
