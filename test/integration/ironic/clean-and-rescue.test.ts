// A real, unmodified Ironic has machines cleaned and rescued by the agent: which one, IRONIC_TREE says.
import { execFile } from 'node:child_process'
import { open, readFile, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest'
import type { AgentProcess } from '../../support/agent-process.ts'
import { createMachines, type Machine, type Machines } from '../../support/ironic/machines.ts'
import { hasIronicUnderTest, IRONIC_UNDER_TEST } from '../../support/ironic/program.ts'
import { type Ironic, startIronic } from '../../support/ironic.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const MiB = 1024 * 1024
const DISK_BYTES = 96 * MiB
/** In the middle of nowhere: only erasing every byte finds it. */
const MARKER = { text: 'data of the last tenant', offset: 70 * MiB } as const
const run = promisify(execFile)
const canRun =
  hasLoopDevices('cleaning by a real Ironic') &&
  hasPackages('agent') &&
  hasPackages('burn-in') &&
  hasIronicUnderTest()

const TITLE = `an unmodified Ironic ${IRONIC_UNDER_TEST.version}`

describe.skipIf(!canRun)(TITLE, { timeout: 600_000 }, () => {
  let ironic: Ironic
  let machines: Machines

  beforeAll(async () => {
    ironic = await startIronic({ program: IRONIC_UNDER_TEST, requireTls: true })
    machines = await createMachines(ironic)
  }, 1_200_000)

  afterAll(async () => {
    await ironic?.[Symbol.asyncDispose]()
    await machines?.[Symbol.asyncDispose]()
  })

  /** A manageable node, and its machine with the disk of a tenant that has gone. */
  async function createMachine(fields: Record<string, unknown> = {}): Promise<Machine> {
    onTestFailed(async () => console.log(await machines.logs()))
    const bootMode = 'uefi'
    const wish = { bootMode, diskBytes: DISK_BYTES, prepare: fillDisk, fields } as const
    return machines.create({ ...wish, until: 'manageable' })
  }

  /** Boots the machine once Ironic expects its ramdisk, and waits for the end. */
  async function cleanUntil(machine: Machine, state: string): Promise<AgentProcess> {
    await ironic.waitFor(machine.uuid, ['clean wait'])
    const agent = await machine.boot()
    await ironic.waitFor(machine.uuid, [state])
    return agent
  }

  const cleanStep = (step: string) => ({ clean_steps: [{ interface: 'deploy', step }] })

  test('automated cleaning erases metadata and every byte, and the node is available', async () => {
    const machine = await createMachine({ automated_clean: true })
    await ironic.provision(machine.uuid, 'provide')
    const agent = await cleanUntil(machine, 'available')
    expect(await signatures(machine.disk.path)).toBe('')
    expect(await markerOn(machine.disk.path)).not.toBe(MARKER.text)
    const log = await agent.log()
    expect(log.match(/"msg":"disk erased"/g)).toHaveLength(2)
  })

  test('manual cleaning runs the step it was asked for and no other', async () => {
    const machine = await createMachine()
    await ironic.provision(machine.uuid, 'clean', cleanStep('erase_devices_metadata'))
    await cleanUntil(machine, 'manageable')
    expect(await signatures(machine.disk.path)).toBe('')
    expect(await markerOn(machine.disk.path)).toBe(MARKER.text)
  })

  test('manual cleaning takes the argument of a step, and burns in as the node says', async () => {
    const machine = await createMachine({
      driver_info: {
        deploy_kernel: `${ironic.filesUrl}/kernel`,
        deploy_ramdisk: `${ironic.filesUrl}/ramdisk`,
        agent_burnin_cpu_cpu: 1,
        agent_burnin_cpu_timeout: 1,
      },
    })
    const erase = { interface: 'deploy', step: 'erase_devices', args: { verify: 'full' } }
    const burnin = { interface: 'deploy', step: 'burnin_cpu' }
    await ironic.provision(machine.uuid, 'clean', { clean_steps: [erase, burnin] })
    const agent = await cleanUntil(machine, 'manageable')
    const log = await agent.log()
    expect(log).toMatch(/zeros; verified: all 96\.0 MiB read as zeros.*"msg":"disk erased"/)
    expect(log).toMatch(/"msg":"burn in cpu finished"/)
  })

  test('a disk in use fails the cleaning and is named, untouched', async () => {
    const machine = await createMachine()
    const { stdout } = await run('losetup', ['--find', '--show', machine.disk.path])
    try {
      const before = await signatures(machine.disk.path)
      await ironic.provision(machine.uuid, 'clean', cleanStep('erase_devices_metadata'))
      await cleanUntil(machine, 'clean failed')
      const { last_error } = await ironic.node(machine.uuid)
      expect(last_error).toContain(`${machine.disk.path} is in use`)
      expect(await signatures(machine.disk.path)).toBe(before)
    } finally {
      await run('losetup', ['--detach', stdout.trim()])
    }
  })

  test('rescue leaves the password hash, stops serving and idles; unrescue brings the instance back', async () => {
    const machine = await createActiveMachine()
    const { uuid } = machine
    await ironic.provision(uuid, 'rescue', { rescue_password: PASSWORD })
    await ironic.waitFor(uuid, ['rescue wait'])
    const agent = await machine.boot()
    await ironic.waitFor(uuid, ['rescue'])

    const file = join(agent.root, 'etc/ipa-rescue-config/ipa-rescue-password')
    const hash = await readFile(file, 'utf8')
    expect(hash).toBe(await cryptOf(PASSWORD, hash))
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    await stat(join(agent.root, 'etc/.rescued'))
    await expect.poll(() => isServing(agent)).toBe(false)
    await expect.poll(() => agent.log()).toContain('rescued, doing nothing')
    expect(agent.child.exitCode).toBeNull()
    const log = await agent.log()
    expect(log).not.toContain(PASSWORD)
    expect(log).not.toContain(hash)

    await ironic.provision(uuid, 'unrescue')
    await ironic.waitFor(uuid, ['active'])
    expect(await signatures(machine.disk.path)).toContain('gpt')
    agent.child.kill('SIGTERM')
    expect(await agent.exited).toBe(0)
  })

  const PASSWORD = 'correct horse battery staple'

  /** One with an instance that Ironic takes over as it is. */
  async function createActiveMachine(): Promise<Machine> {
    const [kernel, ramdisk] = ['kernel', 'ramdisk'].map((name) => `${ironic.filesUrl}/${name}`)
    const driver = { deploy_kernel: kernel, deploy_ramdisk: ramdisk }
    const machine = await createMachine({
      driver_info: { ...driver, rescue_kernel: kernel, rescue_ramdisk: ramdisk },
      instance_info: {
        image_source: kernel,
        image_checksum: '5eb63bbbe01eeed093cb22bb8f5acdc3',
        root_gb: 1,
      },
    })
    await ironic.provision(machine.uuid, 'adopt')
    await ironic.waitFor(machine.uuid, ['active'])
    return machine
  }
})

/** GPT with a file system in its partition, and data beyond. */
async function fillDisk(path: string): Promise<void> {
  const tables = run('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', path])
  tables.child.stdin?.end('label: gpt\nstart=2048,size=65536\n')
  await tables
  await run('mkfs.vfat', ['--offset=2048', '-F', '32', path, '32768'])
  await using disk = await open(path, 'r+')
  await disk.write(MARKER.text, MARKER.offset)
  await disk.sync()
}

async function signatures(path: string): Promise<string> {
  return (await run('wipefs', ['--no-act', '--noheadings', path])).stdout.trim()
}

async function markerOn(path: string): Promise<string> {
  await using disk = await open(path)
  const bytes = Buffer.alloc(MARKER.text.length)
  await disk.read(bytes, 0, bytes.length, MARKER.offset)
  return bytes.toString('latin1')
}

/** The hash that openssl makes of the password with the salt and algorithm of `hash`. */
async function cryptOf(password: string, hash: string): Promise<string> {
  const [, algorithm = '', salt = ''] = hash.split('$')
  const running = run('openssl', ['passwd', `-${algorithm}`, '-salt', salt, '-stdin'])
  running.child.stdin?.end(password)
  return (await running).stdout.trim()
}

async function isServing({ port }: AgentProcess): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
