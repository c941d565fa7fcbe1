// SPDX-License-Identifier: Apache-2.0
// Owns the ends of the machine as commands ask for them. Does not switch anything; system/power.ts does.
import { type MachineEndDeps, powerOff, reboot, startLoadedKernel } from '../system/power.ts'

export interface PowerControl {
  /** Throws SystemRebootError and ClockSyncError, and so do the others. */
  powerOff(): Promise<void>
  reboot(): Promise<void>
  /** Of the kernel that kexec has loaded. */
  startLoadedKernel(): Promise<void>
}

export interface PowerControlDeps extends MachineEndDeps {
  /** With `machine_control=log` nothing ends by itself: whoever is told ends the agent instead. */
  readonly onMachineEnd: (reason: string) => void
}

export function createPowerControl(deps: PowerControlDeps): PowerControl {
  const end = async (endMachine: (deps: MachineEndDeps) => Promise<void>, reason: string) => {
    await endMachine(deps)
    if (deps.machineControl === 'log') deps.onMachineEnd(reason)
  }
  return {
    powerOff: () => end(powerOff, 'powered off'),
    reboot: () => end(reboot, 'rebooted'),
    startLoadedKernel: () => end(startLoadedKernel, 'instance started'),
  }
}
