// Ironic 21.4 has machines inspected by ironic-inspector, which Debian has up to 12.
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest'
import { bootScriptWords } from '../../support/ironic/boot-script.ts'
import {
  type Inspector,
  settingsForInspector,
  startInspector,
} from '../../support/ironic/inspector.ts'
import { createMachines, type Machines } from '../../support/ironic/machines.ts'
import { hasIronicUnderTest, IRONIC_UNDER_TEST } from '../../support/ironic/program.ts'
import { type Ironic, startIronic } from '../../support/ironic.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { freePort } from '../../support/processes.ts'

const GiB = 1024 ** 3

function isOfDebian12(): boolean {
  if (IRONIC_UNDER_TEST.version.startsWith('21.')) return true
  console.log(`skipped: Ironic ${IRONIC_UNDER_TEST.version} does without ironic-inspector`)
  return false
}

const canRun =
  hasLoopDevices('inspection by ironic-inspector') &&
  hasPackages('agent') &&
  hasIronicUnderTest() &&
  isOfDebian12() &&
  hasPackages('ironic-inspector')

const secondMac = (mac: string) => mac.replace('52:54:00:00:01:', '52:54:00:00:02:')

describe.skipIf(!canRun)('ironic-inspector of Debian 12', { timeout: 600_000 }, () => {
  let ironic: Ironic
  let inspector: Inspector
  let machines: Machines

  beforeAll(async () => {
    const port = await freePort()
    ironic = await startIronic({ settings: settingsForInspector(port) })
    inspector = await startInspector(port, ironic.url)
    machines = await createMachines(ironic)
  }, 1_200_000)

  afterAll(async () => {
    await machines?.[Symbol.asyncDispose]()
    await inspector?.[Symbol.asyncDispose]()
    await ironic?.[Symbol.asyncDispose]()
  })

  test('finds the node of what the agent posts, and makes properties and ports of it', async () => {
    onTestFailed(async () => {
      console.log(await machines.logs(), (await inspector.log()).slice(-4000))
    })
    const machine = await machines.create({
      bootMode: 'uefi',
      diskBytes: 5 * GiB,
      until: 'manageable',
      fields: { inspect_interface: 'inspector', properties: {} },
    })
    await ironic.provision(machine.uuid, 'inspect')
    await ironic.waitFor(machine.uuid, ['inspect wait'])
    const words = await expect
      .poll(() => bootScriptWords(ironic, machine), { timeout: 120_000 })
      .toContain(`ipa-inspection-callback-url=${inspector.callbackUrl}`)
      .then(() => bootScriptWords(ironic, machine))
    const collectors = 'default,extra-hardware,pci-devices,usb-devices,numa-topology,logs'
    const agent = await machine.boot({
      kernelLine: [...words, `ipa-inspection-collectors=${collectors}`].join(' '),
      otherNics: { eth1: secondMac(machine.mac) },
    })
    const node = await ironic.waitFor(machine.uuid, ['manageable'])
    expect(node).toMatchObject({
      last_error: null,
      properties: { cpu_arch: 'x86_64', cpus: expect.anything(), memory_mb: expect.anything() },
    })
    const { ports } = (await ironic.call('GET', `/v1/ports/detail?node=${machine.uuid}`)) as {
      ports: { address: string }[]
    }
    expect(ports.map(({ address }) => address).sort()).toEqual([
      machine.mac,
      secondMac(machine.mac),
    ])
    const data = await inspector.data(machine.uuid)
    expect(data).toMatchObject({
      root_disk: { name: machine.disk.path },
      configuration: { collectors: collectors.split(',') },
      // its hook has read the list of extra-hardware
      extra: { disk: { logical: { count: 1 } } },
      error: null,
    })
    expect(await agent.log()).toContain(`"node_uuid":"${machine.uuid}"`)
  })
})
