// SPDX-License-Identifier: Apache-2.0
// Owns what `get_*_steps` answers and whether a step was asked of the managers that announced it.
// Does not run steps (dispatcher.ts).
import { AgentError } from '../core/errors.ts'
import { isObject } from '../core/json.ts'
import type { Hardware } from './dispatcher.ts'
import type { Step, StepKind } from './manager.ts'

interface Offer {
  readonly label: string
  readonly support: number
  readonly step: Step
}

/**
 * Steps by manager label, each step name once: the higher support wins, then the higher priority, then
 * the label that sorts first (contract 7.1). Every manager has a list, if only an empty one.
 * @throws AgentError HardwareManagerConfigurationError where a manager cannot read steps that it should have
 */
export function announcedSteps(hardware: Hardware, kind: StepKind): Record<string, Step[]> {
  for (const { manager } of hardware.managers) manager.assertSteps?.()
  const offers = hardware.managers.flatMap(({ manager, support }) =>
    manager.steps
      .filter((step) => step.kinds.includes(kind))
      .map((step): Offer => ({ label: manager.label, support, step: step.announce })),
  )
  const best = new Map<string, Offer>()
  for (const offer of offers) {
    const rival = best.get(offer.step.step)
    if (!rival || isBetter(offer, rival)) best.set(offer.step.step, offer)
  }
  const lists: Record<string, Step[]> = {}
  for (const { manager } of hardware.managers) lists[manager.label] = []
  for (const { label, step } of best.values()) lists[label]?.push(step)
  return lists
}

function isBetter(offer: Offer, rival: Offer): boolean {
  if (offer.support !== rival.support) return offer.support > rival.support
  if (offer.step.priority !== rival.step.priority) return offer.step.priority > rival.step.priority
  return offer.label < rival.label
}

/**
 * Throws VersionMismatch when `received` (the conductor's `deploy_version`; null or absent: not checked)
 * is not the version map of this machine: its steps come from other managers (contract 5.1).
 */
export function assertVersionsMatch(received: unknown, current: Record<string, string>): void {
  if (received === null || received === undefined) return
  if (isObject(received) && isSameMap(received, current)) return
  throw new AgentError(
    'VersionMismatch',
    `the conductor's steps come from ${JSON.stringify(received)}, this agent has ` +
      `${JSON.stringify(current)}; fetch the steps again`,
  )
}

function isSameMap(a: Record<string, unknown>, b: Record<string, string>): boolean {
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key])
}
