// SPDX-License-Identifier: Apache-2.0
// Owns the list of hardware managers of this agent and what they are given. Does not call them.
import type { Config } from '../config/options.ts'
import { type Hardware, loadHardware } from '../hardware/dispatcher.ts'
import { createGenericManager } from '../hardware/generic/generic-manager.ts'
import { exec } from '../system/exec.ts'
import type { Root } from '../system/root.ts'
import type { Logger } from '../telemetry/logger.ts'

/** Evaluates and initializes the hardware managers. Throws HardwareManagerNotFound. */
export function loadMachine(deps: {
  readonly config: Config
  readonly root: Root
  readonly log: Logger
  /** See GenericManagerDeps. */
  readonly skipsBmc?: () => boolean
}): Promise<Hardware> {
  return loadHardware([createGenericManager({ ...deps, exec })])
}
