// SPDX-License-Identifier: Apache-2.0
// Owns the order of a deployment's steps: the conductor's own and those the agent offers (contract 8.4).
import { ContractViolation, type WireResult } from './agent-client.ts'

export interface Step {
  readonly step: string
  readonly interface: string
  readonly priority: number
  readonly inBand: boolean
  readonly args?: Record<string, unknown>
}

const CORE_STEPS: readonly Step[] = [
  { step: 'write_image', interface: 'deploy', priority: 80, inBand: true },
  { step: 'prepare_instance_boot', interface: 'deploy', priority: 60, inBand: false },
  { step: 'tear_down_agent', interface: 'deploy', priority: 40, inBand: false },
  { step: 'switch_to_tenant_network', interface: 'deploy', priority: 30, inBand: false },
  { step: 'boot_instance', interface: 'deploy', priority: 20, inBand: false },
]

/** Core steps and the agent's own of priority > 0, highest first. Throws ContractViolation. */
export function planSteps(listed: WireResult, writeImageArgs: Record<string, unknown>): Step[] {
  const offered = listed.command_result?.['deploy_steps']
  if (!isRecord(offered)) throw new ContractViolation('deploy_steps is not an object of lists')
  if (!isRecord(listed.command_result?.['hardware_manager_version'])) {
    throw new ContractViolation('hardware_manager_version is not an object')
  }
  const core = CORE_STEPS.map((step) =>
    step.step === 'write_image' ? { ...step, args: writeImageArgs } : step,
  )
  const names = new Set(core.map(({ step }) => step))
  const own = Object.values(offered)
    .flatMap((list) => checkSteps(list))
    .filter(({ step, priority }) => priority > 0 && !names.has(step))
  return [...core, ...own].sort((a, b) => b.priority - a.priority)
}

function checkSteps(list: unknown): Step[] {
  if (!Array.isArray(list)) throw new ContractViolation('deploy_steps is not an object of lists')
  return list.map((step: unknown) => {
    if (!isRecord(step) || !('interface' in step && 'step' in step && 'priority' in step)) {
      throw new ContractViolation(`invalid step ${JSON.stringify(step)}: a key is missing`)
    }
    const { step: name, interface: of, priority } = step
    return { step: String(name), interface: String(of), priority: Number(priority), inBand: true }
  })
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
