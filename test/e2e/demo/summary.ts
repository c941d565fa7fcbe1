// SPDX-License-Identifier: Apache-2.0
// Owns the end of the demo: every disk looked at, every figure a person would ask for, and whether all
// nodes ended as they should.
import { formatBytes } from '../../../agent/core/units.ts'
import type { DeployOutcome } from '../../support/fake-ironic/conductor.ts'
import type { Machine } from './machine.ts'
import type { DiskVerdict } from './verify-disk.ts'

export interface NodeResult {
  readonly machine: Machine
  readonly outcome: DeployOutcome
  /** Of the image, by where they came from. */
  readonly bytes: { readonly peers: number; readonly origin: number } | undefined
  readonly verdict: DiskVerdict
}

export interface DemoResult {
  readonly nodes: readonly NodeResult[]
  readonly seconds: number
  readonly originBytes: number
  readonly imageBytes: number
  readonly swarm: string
}

/** What is wrong with this node's deploy, in words; empty when it ended as it should. */
export function faultsOf({ machine, outcome, verdict }: NodeResult): string[] {
  const faults = [...verdict.faults]
  if (outcome.state !== 'active') faults.unshift(outcome.error ?? outcome.state)
  if (outcome.contractViolated) faults.push('an answer broke the contract with Ironic')
  if (outcome.skippedSteps.length > 0) faults.push(`steps left out: ${outcome.skippedSteps}`)
  if (outcome.state === 'active' && machine.ended() !== 0) {
    faults.push(`the agent did not power the node off; it ended with ${machine.ended()}`)
  }
  return faults
}

/** The lines printed under the table. */
export function summaryLines(result: DemoResult): string[] {
  const { nodes, seconds, originBytes, imageBytes, swarm } = result
  const good = nodes.filter((node) => faultsOf(node).length === 0).length
  const ratio = (originBytes / imageBytes).toFixed(2)
  const how = swarm === 'off' ? 'by HTTP alone (SWARM=off)' : `over a swarm (SWARM=${swarm})`
  const drives = nodes.some(({ machine }) => machine.configDrive) ? ' and config drives' : ''
  const comparison =
    `compared byte for byte: disks${drives}; not the GPT header and entries, which a deploy ` +
    'changes (backup table to the end, config drive added): there entry by entry'
  return [
    '',
    `${good} of ${nodes.length} nodes deployed in ${seconds.toFixed(1)} s ${how}`,
    `origin sent ${formatBytes(originBytes)}: ${ratio} × the image of ${formatBytes(imageBytes)}, for ${nodes.length} nodes`,
    ...(nodes.some(({ verdict }) => verdict.comparedBytes > 0) ? [comparison] : []),
    ...nodes.map(nodeLine),
  ]
}

function nodeLine(node: NodeResult): string {
  const { machine, outcome, bytes, verdict } = node
  const faults = faultsOf(node)
  const figures = [
    `${outcome.seconds.toFixed(1)} s`,
    `${formatBytes(bytes?.peers ?? 0)} from peers`,
    `${formatBytes(bytes?.origin ?? 0)} from origin`,
    `${formatBytes(machine.peakRssBytes)} RSS at most`,
  ].join(', ')
  if (outcome.state !== 'active') return `  ${machine.name}  FAILED  ${faults.join('; ')}`
  if (faults.length > 0) return `  ${machine.name}  FAILED  ${faults.join('; ')} (${figures})`
  const drive = machine.configDrive ? ', config drive identical' : ''
  return `  ${machine.name}  ok  ${figures}; ${formatBytes(verdict.comparedBytes)} identical${drive}`
}
