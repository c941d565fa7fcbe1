// A real, unmodified Ironic has machines inspected by the agent. 21.4 cannot: its inspection is
// ironic-inspector's.
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest'
import type { AgentProcess } from '../../support/agent-process.ts'
import {
  FIRST_AGENT_INSPECTION,
  settingsForAgentInspection,
} from '../../support/ironic/agent-inspection.ts'
import { bootScriptWords } from '../../support/ironic/boot-script.ts'
import { createMachines, type Machine, type Machines } from '../../support/ironic/machines.ts'
import { hasIronicUnderTest, IRONIC_UNDER_TEST } from '../../support/ironic/program.ts'
import { type Ironic, startIronic } from '../../support/ironic.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const GiB = 1024 ** 3
const RELEASE = Number.parseInt(IRONIC_UNDER_TEST.version, 10)

function hasAgentInspection(): boolean {
  if (RELEASE >= FIRST_AGENT_INSPECTION) return true
  console.log(
    `skipped: Ironic ${IRONIC_UNDER_TEST.version} has no agent inspection; make test-ironic IRONIC=newest`,
  )
  return false
}

const canRun =
  hasLoopDevices('inspection by a real Ironic') &&
  hasPackages('agent') &&
  hasIronicUnderTest() &&
  hasAgentInspection()

const COLLECTORS = [
  ...['default', 'extra-hardware', 'pci-devices', 'usb-devices', 'numa-topology'],
  ...['lldp', 'logs'],
]
const TITLE = `an unmodified Ironic ${IRONIC_UNDER_TEST.version}`
/** Of the NIC that Ironic does not know of. */
const secondMac = (mac: string) => mac.replace('52:54:00:00:01:', '52:54:00:00:02:')

describe.skipIf(!canRun)(TITLE, { timeout: 600_000 }, () => {
  let ironic: Ironic
  let machines: Machines

  beforeAll(async () => {
    ironic = await startIronic({
      program: IRONIC_UNDER_TEST,
      requireTls: true,
      settings: settingsForAgentInspection(IRONIC_UNDER_TEST),
    })
    machines = await createMachines(ironic)
  }, 1_200_000)

  afterAll(async () => {
    await ironic?.[Symbol.asyncDispose]()
    await machines?.[Symbol.asyncDispose]()
  })

  /** A node that waits for the data of its machine, which has the kernel line that Ironic wrote for it. */
  async function inspected(
    extra: Record<string, string>,
  ): Promise<{ machine: Machine; agent: AgentProcess }> {
    onTestFailed(async () => console.log(await machines.logs()))
    const machine = await machines.create({
      bootMode: 'uefi',
      diskBytes: 5 * GiB,
      until: 'manageable',
      fields: { inspect_interface: 'agent', properties: {} },
    })
    await ironic.provision(machine.uuid, 'inspect')
    await ironic.waitFor(machine.uuid, ['inspect wait'])
    const words = await bootScriptWords(ironic, machine)
    expect(words).toContain(`ipa-inspection-callback-url=${ironic.url}/v1/continue_inspection`)
    // what Ironic says without fast track is all there is to go by
    expect(words.some((word) => word.startsWith('ipa-api-url='))).toBe(false)
    const added = Object.entries(extra).map(([key, value]) => `${key}=${value}`)
    const agent = await machine.boot({
      kernelLine: [...words, ...added].join(' '),
      otherNics: { eth1: secondMac(machine.mac) },
    })
    return { machine, agent }
  }

  test('makes properties and ports of what the agent posts, and powers the machine off', async () => {
    const collectors = COLLECTORS.join(',')
    const { machine, agent } = await inspected({
      'ipa-inspection-collectors': collectors,
      'ipa-lldp-timeout': '1',
    })
    const node = await ironic.waitFor(machine.uuid, ['manageable'])
    expect(node).toMatchObject({
      last_error: null,
      properties: {
        ...{ cpu_arch: 'x86_64', memory_mb: expect.anything() },
        // for which 29 has no hook
        ...(RELEASE < 35 ? {} : { cpus: expect.anything() }),
      },
    })
    const { ports } = (await ironic.call('GET', `/v1/ports/detail?node=${machine.uuid}`)) as {
      ports: { address: string; pxe_enabled: boolean }[]
    }
    const byAddress = Object.fromEntries(ports.map((port) => [port.address, port.pxe_enabled]))
    expect(byAddress).toEqual({ [machine.mac]: true, [secondMac(machine.mac)]: false })
    const kept = (await ironic.call('GET', `/v1/nodes/${machine.uuid}/inventory`)) as {
      inventory: { disks: { name: string }[] }
      plugin_data: Record<string, unknown>
    }
    expect(kept.inventory.disks).toMatchObject([{ name: machine.disk.path }])
    expect(kept.plugin_data).toMatchObject({
      root_disk: { name: machine.disk.path },
      configuration: { collectors: COLLECTORS },
      // Ironic's hook has read the list of extra-hardware
      extra: { disk: { logical: { count: 1 } }, network: { eth0: { serial: machine.mac } } },
      pci_devices: expect.anything(),
      lldp_raw: expect.anything(),
      error: null,
    })
    expect(await agent.log()).toContain(`"node_uuid":"${machine.uuid}"`)
    // the agent has nobody to heartbeat to, and stays until the machine is switched off
    expect(agent.child.exitCode).toBeNull()
  })

  test('fails the inspection with the words of what the agent could not do', async () => {
    const { machine } = await inspected({ 'ipa-inspection-collectors': 'default,nonsense' })
    await ironic.waitFor(machine.uuid, ['inspect failed'])
    // the conductor saves its words after the state
    await expect
      .poll(async () => `${(await ironic.node(machine.uuid)).last_error}`, { timeout: 60_000 })
      .toContain('collector nonsense is not known')
  })
})
