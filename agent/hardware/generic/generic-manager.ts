// SPDX-License-Identifier: Apache-2.0
// Owns the generic hardware manager: what any Linux machine can do, put together from this folder. Does not write
// images; a step is handed the function for it.
import type { Config } from '../../config/options.ts'
import type { Exec } from '../../system/exec.ts'
import { syncDisks } from '../../system/power.ts'
import type { Root } from '../../system/root.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { listDisks } from '../collectors/disks.ts'
import { collectSystemLogs } from '../log-bundle/system-logs.ts'
import { type HardwareManager, SUPPORT } from '../manager.ts'
import { createRootVolumes } from '../raid/root-volume.ts'
import { InventoryTaker } from './inventory-taker.ts'
import { Overrides } from './overrides.ts'
import { createQuestions } from './questions.ts'
import { createRootDiskFinder } from './root-disk.ts'
import { createGenericSteps } from './steps.ts'

export interface GenericManagerDeps {
  readonly config: Config
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
  /** True when the inventory has to do without the BMC; asked each time, since the lookup may change it. */
  readonly skipsBmc?: () => boolean
}

/** The manager that supports every machine, if no better one does. */
export function createGenericManager(deps: GenericManagerDeps): HardwareManager {
  const { config, exec, root, skipsBmc = () => config.agent_skip_bmc_detect } = deps
  const overrides = new Overrides()
  const list = (erasesRaidMembers: boolean) =>
    overrides.disks(config.block_devices, (listed) =>
      listDisks({ exec, root, listed, erasesRaidMembers }),
    )
  const common = {
    ...deps,
    overrides,
    rootVolumes: createRootVolumes(),
    listDisks: () => list(config.erase_raid_members),
  }
  const finder = createRootDiskFinder({
    ...common,
    waitAttempts: config.disk_wait_attempts,
    waitDelayMs: config.disk_wait_delay * 1000,
  })
  const questions = createQuestions(deps)
  const listForAll = () => finder.list(undefined)
  const inventory = new InventoryTaker({ ...common, questions, listDisks: listForAll, skipsBmc })
  return {
    name: 'generic_hardware_manager',
    version: '1.5',
    label: 'GenericHardwareManager',
    evaluateHardwareSupport: async () => SUPPORT.GENERIC,
    initialize: async (others) => overrides.join(others),
    steps: createGenericSteps({ ...common, finder, listWithOldMembers: () => list(true) }),
    ...questions,
    listNetworkInterfaces: () => inventory.interfaces(),
    listBlockDevices: (node) => finder.list(node),
    getOsInstallDevice: (node) => finder.find(node),
    waitForDisks: (node, signal) => finder.wait(node, signal),
    listHardwareInfo: () => inventory.take(),
    collectSystemLogs: (signal) => collectSystemLogs({ exec, root }, signal),
    fullSync: async (signal) => {
      const devices = (await listForAll()).map(({ name }) => name)
      await syncDisks({ exec, root, devices, signal })
    },
  }
}
