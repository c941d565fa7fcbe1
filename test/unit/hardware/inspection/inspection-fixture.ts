// SPDX-License-Identifier: Apache-2.0
// Owns the calls of collectors in tests: a file tree and commands that answer, real collectors above them.

import { loadHardware } from '../../../../agent/hardware/dispatcher.ts'
import type { CollectorCall } from '../../../../agent/hardware/inspection/collector.ts'
import type { HardwareMethods } from '../../../../agent/hardware/manager.ts'
import { silentLog } from '../../../support/agent-in-process.ts'
import { machineWith } from '../machine-fixture.ts'

export interface CallLab extends AsyncDisposable {
  readonly call: CollectorCall
  /** What the collector said went wrong. */
  readonly failures: string[]
  /** Command lines that were run. */
  readonly ran: string[]
}

export async function callOn(machine: {
  readonly files?: Readonly<Record<string, string>>
  readonly answers?: Readonly<Record<string, string>>
  readonly methods?: Partial<HardwareMethods>
  readonly benchmarks?: readonly string[]
  readonly collectsLldp?: boolean
}): Promise<CallLab> {
  const made = await machineWith(machine.files, machine.answers)
  const failures: string[] = []
  const hardware = await loadHardware([
    {
      ...{ name: 'test_manager', version: '1.0', label: 'TestManager', steps: [] },
      evaluateHardwareSupport: async () => 1,
      ...machine.methods,
    },
  ])
  return {
    call: {
      config: {
        bootif: null,
        collect_lldp: machine.collectsLldp ?? false,
        inspection_benchmarks: machine.benchmarks ?? [],
        inspection_collectors: [],
        inspection_dhcp_all_interfaces: false,
        inspection_dhcp_wait_timeout: 0,
      },
      ...{ hardware, exec: made.exec, root: made.root, log: silentLog, now: () => 0 },
      ...{ ownLogs: () => [], names: [], fail: (what) => void failures.push(what) },
      signal: AbortSignal.timeout(60_000),
    },
    failures,
    ran: made.ran,
    [Symbol.asyncDispose]: () => made[Symbol.asyncDispose](),
  }
}
