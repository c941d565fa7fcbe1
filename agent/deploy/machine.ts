// SPDX-License-Identifier: Apache-2.0
// Owns the list of hardware managers of this agent and what they are given. Does not call them.
import type { Config } from '../config/options.ts'
import { AgentError } from '../core/errors.ts'
import type { EventPublisher } from '../core/events.ts'
import { createContainerManager } from '../hardware/container/container-manager.ts'
import { loadCustomManagers } from '../hardware/custom/load.ts'
import { type Hardware, loadHardware } from '../hardware/dispatcher.ts'
import { createGenericManager } from '../hardware/generic/generic-manager.ts'
import { createIntelCnaManager } from '../hardware/vendors/intel-cna.ts'
import { createMellanoxManager } from '../hardware/vendors/mellanox.ts'
import { type Exec, exec as systemExec } from '../system/exec.ts'
import type { Root } from '../system/root.ts'
import type { Logger } from '../telemetry/logger.ts'
import { warn } from '../telemetry/operation.ts'

/**
 * Loads, evaluates and initializes the hardware managers; disposal closes them. One that cannot be used is left out,
 * with a warning.
 * @throws AgentError HardwareManagerNotFound
 */
export async function loadMachine(deps: {
  readonly config: Config
  readonly root: Root
  readonly log: Logger
  readonly events: EventPublisher
  /** With what the lookup has changed since. */
  readonly currentConfig?: () => Config
  /** Runs programs; on the machine itself unless given. */
  readonly exec?: Exec
}): Promise<Hardware> {
  const { config, log, events, exec = systemExec } = deps
  const timeoutMs = config.hardware_manager_timeout * 1000
  const custom = await loadCustomManagers(config.hardware_managers, {
    exec,
    log,
    events,
    loadTimeoutMs: timeoutMs,
    timeoutMs,
  })
  const managers = [
    ...custom.managers,
    createMellanoxManager({ ...deps, exec }),
    createContainerManager({ ...deps, exec, config: deps.currentConfig ?? (() => config) }),
    createIntelCnaManager(deps),
    createGenericManager({
      ...deps,
      exec,
      skipsBmc: () => (deps.currentConfig?.() ?? config).agent_skip_bmc_detect,
    }),
  ]
  const hardware = await loadHardware(managers, custom.leftOut)
  for (const { manager, reason } of hardware.leftOut) {
    const error = new AgentError('HardwareManagerConfigurationError', `${manager}: ${reason}`)
    warn(events, 'hardware manager left out', { hardware_manager: manager }, error)
  }
  const found = hardware.managers.map(
    ({ manager: { name, version }, support }) => `${name} ${version} (${support})`,
  )
  log.info({ hardware_managers: found }, 'hardware managers loaded')
  return hardware
}
