// SPDX-License-Identifier: Apache-2.0
// Owns the burn-in steps (contract 7.2, 7.4): where they are offered. What they take lies in the node's driver_info, as
// ironic-python-agent has it.
import type { ErasePlanDeps } from '../generic/erase/plan.ts'
import type { StepCall, StepImplementation, StepKind } from '../manager.ts'
import { burnInDisks } from './disk.ts'
import { burnInGpus } from './gpu.ts'
import { burnInNetwork } from './network.ts'
import { burnInCpu, burnInMemory } from './stress.ts'

/** burnin_cpu, burnin_gpu, burnin_disk, burnin_memory, burnin_network; off unless somebody asks for them. */
export function createBurninSteps(deps: ErasePlanDeps): StepImplementation[] {
  const both: readonly StepKind[] = ['clean', 'service']
  return [
    burnin('burnin_cpu', both, (call) => burnInCpu(deps, call)),
    burnin('burnin_gpu', both, (call) => burnInGpus(deps, call)),
    // it destroys what is on the disks, and a node in service has an instance on them
    burnin('burnin_disk', ['clean'], (call) => burnInDisks(deps, call)),
    burnin('burnin_memory', both, (call) => burnInMemory(deps, call)),
    burnin('burnin_network', both, (call) => burnInNetwork(deps, call)),
  ]
}

function burnin(
  step: string,
  kinds: readonly StepKind[],
  run: (call: StepCall) => Promise<unknown>,
): StepImplementation {
  return {
    kinds,
    announce: { step, priority: 0, interface: 'deploy', reboot_requested: false, abortable: true },
    accepts: [],
    run,
  }
}
