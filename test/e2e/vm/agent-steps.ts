// SPDX-License-Identifier: Apache-2.0
// Owns driving one machine of the laboratory without a conductor: boot the ramdisk, have its agent run a step to the
// end. Does not say what the steps should answer.
import { setTimeout as delay } from 'node:timers/promises'
import {
  type AgentClient,
  createAgentClient,
  type WireResult,
} from '../../support/fake-ironic/agent-client.ts'
import { forgetBoot } from '../../support/fake-ironic/node.ts'
import type { FakeIronic } from '../../support/fake-ironic.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import type { VmLab } from './lab.ts'

/** A machine without KVM that shares its processor. */
export const BOOT_TIMEOUT_MS = 600_000
const POLL_MS = 2000

/** Boots the ramdisk, with more words on the kernel line of this boot; its agent. */
export async function bootAgent(
  lab: VmLab,
  machine: QemuMachine,
  words = '',
): Promise<AgentClient> {
  await machine.powerOff()
  const node = lab.ironic.nodes.get(machine.uuid)
  if (node) forgetBoot(node)
  const from = await machine.serial.end()
  const { kernel } = machine.setup
  if (kernel) machine.setup.kernel = { ...kernel, cmdline: `${kernel.cmdline} ${words}` }
  await machine.powerOn()
  machine.setup.kernel = kernel
  const timing = { timeoutMs: BOOT_TIMEOUT_MS, from }
  const [found] = await machine.serial.waitFor(/"msg":"heartbeat sent"|Kernel panic.*/, timing)
  if (found.includes('panic')) throw new Error(found)
  return agentClientOf(lab.ironic, machine.uuid)
}

/** Speaks to the agent that has looked this node up last. */
export function agentClientOf(ironic: FakeIronic, uuid: string): AgentClient {
  const node = ironic.nodes.get(uuid)
  const target = { url: node?.agentUrl ?? '', token: node?.token ?? '' }
  return createAgentClient(
    { ...target, verifyCa: node?.agentVerifyCa ?? null },
    {
      timeoutMs: 60_000,
      attempts: 3,
      retryDelayMs: 1000,
      sendTokenOnGet: true,
      minTlsVersion: 'TLSv1.2',
      onCall: () => {},
    },
  )
}

export interface StepRequest {
  readonly kind: 'clean' | 'deploy'
  readonly step: string
  readonly interface: string
  readonly args?: Record<string, unknown>
  readonly node: Record<string, unknown>
}

/** Has the agent run a step to its end, whatever it is. */
export async function runStep(client: AgentClient, request: StepRequest): Promise<WireResult> {
  const { kind, node, step, args = {} } = request
  const sent = { step, interface: request.interface, priority: 10, args }
  return await runToEnd(client, `${kind}.execute_${kind}_step`, { step: sent, node, ports: [] })
}

/** Has the agent run a command to its end, whatever it is. */
export async function runToEnd(
  client: AgentClient,
  name: string,
  params: object,
): Promise<WireResult> {
  await client.command(name, params, false)
  const deadline = performance.now() + BOOT_TIMEOUT_MS
  while (performance.now() < deadline) {
    // a machine without KVM may be too busy to answer in time
    const last = (await client.list().catch(() => [])).at(-1)
    if (last !== undefined && last.command_status !== 'RUNNING') return last
    await delay(POLL_MS)
  }
  throw new Error(`${name} has not ended after ${BOOT_TIMEOUT_MS / 1000} s`)
}

/** The result of a command that succeeds. */
export async function runWell(
  client: AgentClient,
  name: string,
  params: object,
): Promise<Record<string, unknown>> {
  const { command_status, command_error, command_result } = await runToEnd(client, name, params)
  if (command_status !== 'SUCCEEDED' || command_error !== null)
    throw new Error(`${name}: ${command_status}, ${JSON.stringify(command_error)}`)
  return { ...command_result, ...(command_result?.['result'] as object | undefined) }
}

/** As Ironic tells it of the image that the laboratory serves. */
export function imageInfoOf({ source: { image, origin } }: VmLab): Record<string, unknown> {
  return {
    ...{ id: 'image', urls: [origin.url], disk_format: 'raw' },
    ...{ os_hash_algo: 'sha256', os_hash_value: image.sha256 },
  }
}
