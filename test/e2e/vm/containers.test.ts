// A ramdisk with podman (PODMAN=1), and a real registry that asks who is there: steps that run containers, and a bootable
// container that is installed on the disk and boots from it. Its bootc is a script (test/support/bootable-container.ts).
import { execFile } from 'node:child_process'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bootableLayer, toolLayer } from '../../support/bootable-container.ts'
import { type DockerRegistry, startDockerRegistry } from '../../support/docker-registry.ts'
import type { AgentClient } from '../../support/fake-ironic/agent-client.ts'
import { hasPackages } from '../../support/packages.ts'
import { SMALL_IMAGE } from '../../support/vm/ironic-lab.ts'
import { LAB_ADDRESS } from '../../support/vm/network.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { findRamdisk, whyNoRamdisk } from '../../support/vm/ramdisk.ts'
import { agentClientOf, BOOT_TIMEOUT_MS, bootAgent, runStep } from './agent-steps.ts'
import { waitForInstance } from './deploys.ts'
import { bootFromDisk, createVmLab, type VmLab } from './lab.ts'
import { canBootMachines } from './requirements.ts'

const FOLDER = join(import.meta.dirname, '../../../build/test-vm/containers')
const RAMDISK = findRamdisk({ VM_RAMDISK: join(FOLDER, '../../ironswarm-containers') })
const MEMORY_MIB = 2048
const MiB = 1024 * 1024
const run = promisify(execFile)

/** Of the machine, outside of the container that asks: what an installation makes, but for the ramdisk's own. With paths,
 * or it would be BusyBox's own losetup. */
const LOOK = [
  'cd /proc/1/root',
  'chroot . /usr/sbin/losetup --list --noheadings --output BACK-FILE | grep -v squashfs',
  'chroot . /usr/sbin/dmsetup ls | grep -v "^No devices"',
  "grep -o '^ironswarm-bootc [^ ]*' /proc/1/mounts",
  "ls run/ironswarm | grep -E '^(bootc|registry)-'",
  // one is of the container that asks
  'ps -o comm | grep conmon | tail -n +2',
]

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
  const installFrom = async (layer: Uint8Array, more = {}) =>
    await install({
      image_source: `oci://${await registry.pushContainer('os', layer, ['sh'])}`,
      oci_pull_secret: Buffer.from(registry.auth).toString('base64'),
      ...more,
    })
  /** What the machine keeps of an installation, asked by a container of its own. */
  const leftOvers = async () => {
    const command = ['sh', '-c', `echo "LEFT<$({ ${LOOK.join('; ')}; } 2>&1 | tr '\\n' '|')>"`]
    const url = await registry.pushContainer('look', await toolLayer(), command)
    const from = await machine.serial.end()
    const { command_error } = await runStep(client, {
      ...{ kind: 'clean', step: 'generic_container_step', interface: 'deploy', node: node() },
      args: {
        container_url: url,
        pull_options: `--tls-verify=false --creds=${credentials()}`,
        run_options: '--rm --privileged --pid=host --network=none',
      },
    })
    expect(command_error).toBeNull()
    const timing = { timeoutMs: 1000, from }
    const [, left = ''] = await machine.serial.waitFor(/"stdout":"LEFT<(.*?)>/, timing)
    return left.split('|').filter((line) => line !== '')
  }
  /** By programs of this machine: the file systems of bootc lie there, and nothing that leads to them. */
  const expectHalfInstalled = async () => {
    const probe = (...argv: string[]) => run('blkid', ['-p', ...argv, machine.disk])
    await expect(probe()).rejects.toMatchObject({ code: 2 })
    await expect(run('sfdisk', ['--dump', machine.disk])).rejects.toThrow(
      'does not contain a recognized partition table',
    )
    expect((await probe(`--offset=${MiB}`)).stdout).toContain('LABEL="ESP"')
    await using disk = await open(machine.disk)
    const { size } = await disk.stat()
    for (const offset of [0, size - MiB]) {
      const bytes = Buffer.alloc(MiB, 1)
      await disk.read(bytes, 0, MiB, offset)
      expect(bytes.every((byte) => byte === 0)).toBe(true)
    }
  }
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

  test('whose bootc breaks half-way leaves no disk that boots, and nothing on the machine', async () => {
    const { command_error } = await installFrom(await bootableLayer(SMALL_IMAGE, 'breaks'))
    expect(command_error).toMatchObject({
      type: 'ImageWriteError',
      details: expect.stringMatching(/has not installed it: .*cannot go on/s),
    })
    await expectHalfInstalled()
    expect(await leftOvers()).toEqual([])
  })

  test('whose agent is killed in the midst leaves no disk that boots, and no device', async () => {
    const from = await machine.serial.end()
    const layer = await bootableLayer(SMALL_IMAGE, 'kills the agent')
    // nobody is there to tell how it ends
    const broken = installFrom(layer).catch((error: unknown) => error)
    const timing = { timeoutMs: BOOT_TIMEOUT_MS, from }
    await machine.serial.waitFor(/agent ended with 137/, timing)
    const killed = await machine.serial.end()
    await machine.serial.waitFor(/"msg":"heartbeat sent"/, { ...timing, from: killed })
    client = agentClientOf(lab.ironic, machine.uuid)
    await broken
    await expectHalfInstalled()
    // the container is in memory until the next installation
    const left = await leftOvers()
    expect(left).toContain('ironswarm-bootc /var/lib/containers')
    expect(left.filter((line) => !line.startsWith('ironswarm-bootc '))).toEqual([])
  })

  test('installs a bootable container over that, and the disk boots', async () => {
    const from = await machine.serial.end()
    const configdrive = await lab.configDrive(machine)
    const { command_error, command_result } = await installFrom(await bootableLayer(SMALL_IMAGE), {
      configdrive,
    })
    expect(command_error).toBeNull()
    expect(command_result?.['deploy_result']).toMatchObject({
      result: expect.stringContaining('written to device /dev/vda'),
    })
    expect(await machine.serial.text(from)).not.toContain(registry.auth)
    expect(await leftOvers()).toEqual([])
    await machine.powerOff()
    bootFromDisk(machine)
    const booting = await machine.serial.end()
    await machine.powerOn()
    const { console } = await waitForInstance(machine, booting)
    expect(console).toContain('CONFIG-DRIVE file openstack/latest/meta_data.json')
    await machine.powerOff()
  })
})
