// A ramdisk with podman (PODMAN=1), and a real registry that asks who is there: steps that run containers, and a bootable
// container that is installed on the disk and boots from it. Its bootc is a script (test/support/bootable-container.ts).
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bootableLayer, toolLayer } from '../../support/bootable-container.ts'
import { type DockerRegistry, startDockerRegistry } from '../../support/docker-registry.ts'
import type { AgentClient } from '../../support/fake-ironic/agent-client.ts'
import { hasPackages } from '../../support/packages.ts'
import { SMALL_IMAGE } from '../../support/vm/ironic-lab.ts'
import { LAB_ADDRESS } from '../../support/vm/network.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { findRamdisk, whyNoRamdisk } from '../../support/vm/ramdisk.ts'
import { BOOT_TIMEOUT_MS, bootAgent, runStep } from './agent-steps.ts'
import { waitForInstance } from './deploys.ts'
import { bootFromDisk, createVmLab, type VmLab } from './lab.ts'
import { canBootMachines } from './requirements.ts'

const FOLDER = join(import.meta.dirname, '../../../build/test-vm/containers')
const RAMDISK = findRamdisk({ VM_RAMDISK: join(FOLDER, '../../ironswarm-containers') })
const MEMORY_MIB = 2048

const canRun = canBootMachines() && whyNoRamdisk(RAMDISK) === undefined && hasPackages('registry')

describe.skipIf(!canRun)('a ramdisk with podman', { timeout: 2 * BOOT_TIMEOUT_MS }, () => {
  let registry: DockerRegistry
  let lab: VmLab
  let machine: QemuMachine
  let client: AgentClient

  beforeAll(async () => {
    const setting = { nodes: 1, boot: 'direct', firmware: 'uefi', isSwarm: false } as const
    const size = { image: SMALL_IMAGE, memoryMib: MEMORY_MIB }
    const agent_containers = { allow_arbitrary_containers: true }
    lab = await createVmLab({ ...setting, ...size, ramdisk: RAMDISK }, FOLDER, 'any', {
      agent_containers,
    })
    registry = await startDockerRegistry({ address: LAB_ADDRESS })
    machine = lab.machines[0] as QemuMachine
    client = await bootAgent(lab, machine, 'ipa-insecure=1')
  }, 2 * BOOT_TIMEOUT_MS)

  afterAll(async () => {
    await lab?.[Symbol.asyncDispose]()
    await registry?.[Symbol.asyncDispose]()
  })

  const node = (instanceInfo = {}) => ({ uuid: machine.uuid, instance_info: instanceInfo })
  const clean = (url: string, pullOptions: string) =>
    runStep(client, {
      ...{ kind: 'clean', step: 'generic_container_step', interface: 'deploy', node: node() },
      args: { container_url: url, pull_options: pullOptions },
    })
  const install = (args: Record<string, unknown>, instanceInfo = {}) =>
    runStep(client, {
      ...{ kind: 'deploy', step: 'execute_bootc_install', interface: 'deploy', args },
      node: node(instanceInfo),
    })
  /** Whether the machine keeps anything of containers: asked by a container of its own. */
  const credentials = () => Buffer.from(registry.auth, 'base64').toString()

  test('runs a container of a registry that asks who is there, and tells what it said', async () => {
    const command = ['sh', '-c', 'echo "said by the container: $(ls /bin | wc -l) programs"']
    const url = await registry.pushContainer('tool', await toolLayer(), command)
    const refused = await clean(url, '--tls-verify=false')
    expect(JSON.stringify(refused.command_error)).toMatch(/unauthorized|authentication required/)
    const from = await machine.serial.end()
    const { command_error } = await clean(url, `--tls-verify=false --creds=${credentials()}`)
    expect(command_error).toBeNull()
    await machine.serial.waitFor(/said by the container: \d{3} programs/, { timeoutMs: 1000, from })
    expect(await machine.serial.text()).not.toContain(credentials())
  })

  test('fails the step of a container that fails', async () => {
    const url = await registry.pushContainer('bad', await toolLayer(), ['sh', '-c', 'exit 7'])
    const { command_error } = await clean(url, `--tls-verify=false --creds=${credentials()}`)
    expect(command_error).toMatchObject({ details: expect.stringContaining('exit code 7') })
  })

  test('installs a bootable container, and the disk boots', async () => {
    const url = await registry.pushContainer('os', await bootableLayer(SMALL_IMAGE), ['sh'])
    const from = await machine.serial.end()
    const { command_error, command_result } = await install({
      image_source: `oci://${url}`,
      oci_pull_secret: Buffer.from(registry.auth).toString('base64'),
      configdrive: await lab.configDrive(machine),
    })
    expect(command_error).toBeNull()
    expect(command_result?.['deploy_result']).toMatchObject({
      result: expect.stringContaining('written to device /dev/vda'),
    })
    expect(await machine.serial.text(from)).not.toContain(registry.auth)
    await machine.powerOff()
    bootFromDisk(machine)
    const booting = await machine.serial.end()
    await machine.powerOn()
    const { console } = await waitForInstance(machine, booting)
    expect(console).toContain('CONFIG-DRIVE file openstack/latest/meta_data.json')
    await machine.powerOff()
  })
})
