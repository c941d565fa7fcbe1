// SPDX-License-Identifier: Apache-2.0
// Owns what this agent makes of a recorded machine: its own code from the managers down, on the machine's files and with
// whatever runs programs.
import { parseKernelCmdline } from '../../../agent/config/kernel-cmdline.ts'
import type { JsonObject } from '../../../agent/core/json.ts'
import { loadMachine } from '../../../agent/deploy/machine.ts'
import { collectInspection } from '../../../agent/hardware/inspection/collect.ts'
import type { Exec } from '../../../agent/system/exec.ts'
import type { Root } from '../../../agent/system/root.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { defaultConfig } from '../config.ts'
import { COLLECTORS } from './ask-python-agent.ts'
import type { RecordedMachine } from './tree.ts'

/** As {@link PythonAgentAnswer} has it. */
export interface OwnAnswer {
  readonly inspected: JsonObject
  readonly withoutBmc: JsonObject
}

export async function inspectMachine(
  machine: RecordedMachine,
  on: { readonly root: Root; readonly exec: Exec },
): Promise<OwnAnswer> {
  const config = {
    ...defaultConfig(),
    bootif: parseKernelCmdline(machine.kernelCommandLine).get('BOOTIF') ?? null,
    inspection_collectors: COLLECTORS,
    inspection_dhcp_wait_timeout: 0,
  }
  let skipsBmc = false
  const log = createLogger({ level: 'silent' })
  const currentConfig = () => ({ ...config, agent_skip_bmc_detect: skipsBmc })
  const events = { publish: () => undefined }
  await using hardware = await loadMachine({ ...on, config, currentConfig, log, events })
  const deps = { ...on, config, hardware, log, ownLogs: () => [], now: Date.now }
  const { data } = await collectInspection(deps, { signal: new AbortController().signal, events })
  skipsBmc = true
  const inventory = await hardware.dispatch('listHardwareInfo')
  const bmc = Object.entries(inventory).filter(([key]) => key.startsWith('bmc_'))
  return { inspected: data, withoutBmc: Object.fromEntries(bmc) }
}
