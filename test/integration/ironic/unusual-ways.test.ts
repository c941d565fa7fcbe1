// A real, unmodified Ironic on the ways that few deploys take: fast track, an abort, a failure, a conductor that is started
// anew. Which Ironic, IRONIC_TREE says.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest'
import { bootableTraces, differencesFromImage } from '../../support/compare-disk.ts'
import { type DiskImage, makeDiskImage } from '../../support/disk-image.ts'
import { createHttpOrigin, type HttpOrigin } from '../../support/http-origin.ts'
import { infoOf } from '../../support/ironic/deploy-rig.ts'
import {
  createMachines,
  type Machine,
  type Machines,
  type MachineWish,
} from '../../support/ironic/machines.ts'
import { hasIronicUnderTest, IRONIC_UNDER_TEST } from '../../support/ironic/program.ts'
import { type Ironic, startIronic } from '../../support/ironic.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const MiB = 1024 * 1024
const canRun =
  hasLoopDevices('deploys by a real Ironic') && hasPackages('agent') && hasIronicUnderTest()
const RELEASE = Number.parseInt(IRONIC_UNDER_TEST.version, 10)
const TITLE = `an unmodified Ironic ${IRONIC_UNDER_TEST.version} with fast track`

describe.skipIf(!canRun)(TITLE, { timeout: 600_000 }, () => {
  let directory: string
  let image: DiskImage
  let origin: HttpOrigin
  let ironic: Ironic
  let machines: Machines

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ironswarm-unusual-'))
    image = await makeDiskImage(join(directory, 'image.raw'), { sizeBytes: 24 * MiB })
    origin = await createHttpOrigin({ path: image.path })
    ironic = await startIronic({
      ...{ program: IRONIC_UNDER_TEST, requireTls: true },
      // heartbeats every 9 to 18 s
      settings: {
        deploy: { fast_track: 'True' },
        api: { ramdisk_heartbeat_timeout: 30 },
        // a lockdown takes its time where many tests share two cores; every other deploy waits as long
        ...(RELEASE < 29 ? {} : { agent: { post_deploy_get_power_state_retries: 10 } }),
      },
    })
    machines = await createMachines(ironic)
  }, 1_200_000)

  afterAll(async () => {
    await ironic?.[Symbol.asyncDispose]()
    await machines?.[Symbol.asyncDispose]()
    await origin?.[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  /** A node that is to get the image, and its machine. */
  async function createMachine({
    info,
    fields,
    ...wish
  }: Partial<MachineWish> & { info?: object } = {}): Promise<Machine> {
    onTestFailed(async () => console.log(await machines.logs()))
    origin.faults = {}
    const instance_info = infoOf(origin.url, image, { image_disk_format: 'raw', ...info })
    return machines.create({
      ...{ bootMode: 'bios', diskBytes: 64 * MiB, ...wish },
      fields: { ...fields, instance_info },
    })
  }

  /** Asks for the deploy, boots the machine, and comes back once a third of the image has left the origin. */
  async function startSlowDeploy(machine: Machine) {
    origin.faults = { rateBytesPerSecond: image.sizeBytes / 15 }
    await ironic.provision(machine.uuid, 'active')
    await ironic.waitFor(machine.uuid, ['wait call-back'])
    const sentBefore = origin.bytesSent
    const agent = await machine.boot()
    while (origin.bytesSent - sentBefore < image.sizeBytes / 3) await delay(50)
    return agent
  }

  const heartbeatOf = async ({ uuid }: Machine) =>
    (await ironic.node(uuid)).driver_internal_info['agent_last_heartbeat']

  // API 1.95, which 21.4 does not have
  test.skipIf(RELEASE < 29)(
    'a machine that must not be switched off is locked down after its deploy, and is active',
    async () => {
      const machine = await createMachine({ fields: { disable_power_off: true } })
      await ironic.provision(machine.uuid, 'active')
      await ironic.waitFor(machine.uuid, ['wait call-back'])
      const agent = await machine.boot()
      await ironic.waitFor(machine.uuid, ['active'])
      expect(await differencesFromImage(machine.disk.path, image.path)).toEqual([])
      await expect
        .poll(() => agent.log(), { timeout: 60_000 })
        .toContain('locked down, doing nothing')
      // it idles, so that nobody starts it again
      expect(agent.child.exitCode).toBeNull()
    },
  )

  test('an agent that waits already is asked to deploy, without another start of the machine', async () => {
    const machine = await createMachine()
    await ironic.call('PUT', `/v1/nodes/${machine.uuid}/states/power`, { target: 'power on' })
    await expect
      .poll(async () => (await ironic.node(machine.uuid)).power_state, { timeout: 60_000 })
      .toBe('power on')
    const agent = await machine.boot()
    await expect.poll(() => heartbeatOf(machine), { timeout: 120_000 }).toBeTruthy()
    expect((await ironic.node(machine.uuid)).provision_state).toBe('available')
    await ironic.provision(machine.uuid, 'active')
    await ironic.waitFor(machine.uuid, ['active'])
    expect(await differencesFromImage(machine.disk.path, image.path)).toEqual([])
    // the one that waited, not one that was booted for it
    expect(await agent.exited).toBe(0)
    expect((await agent.log()).match(/"msg":"agent started"/g)).toHaveLength(1)
  })

  test('an agent that has cleaned its machine deploys it as well, without another start', async () => {
    const machine = await createMachine({ fields: { automated_clean: true }, until: 'manageable' })
    await ironic.call('PUT', `/v1/nodes/${machine.uuid}/states/power`, { target: 'power on' })
    const agent = await machine.boot()
    await expect.poll(() => heartbeatOf(machine), { timeout: 120_000 }).toBeTruthy()
    await ironic.provision(machine.uuid, 'provide')
    await ironic.waitFor(machine.uuid, ['available'])
    expect(await agent.log()).toContain('"msg":"disk erased"')
    await ironic.provision(machine.uuid, 'active')
    await ironic.waitFor(machine.uuid, ['active'])
    expect(await differencesFromImage(machine.disk.path, image.path)).toEqual([])
    expect(await agent.exited).toBe(0)
    expect((await agent.log()).match(/"msg":"agent started"/g)).toHaveLength(1)
  })

  test('a deploy that is given up half-way leaves no bootable disk, and the next one of the machine succeeds', async () => {
    const machine = await createMachine()
    const agent = await startSlowDeploy(machine)
    await ironic.provision(machine.uuid, 'deleted')
    await ironic.waitFor(machine.uuid, ['available'])
    // Ironic cuts the power
    agent.child.kill('SIGKILL')
    await agent.exited
    expect(await bootableTraces(machine.disk.path)).toEqual([])
    origin.faults = {}
    // what was given up took instance_info along; it is given anew with the node, because 29 spoils nodes that are patched
    const again = await machine.enrolAgain()
    await ironic.provision(again.uuid, 'active')
    await ironic.waitFor(again.uuid, ['wait call-back'])
    const next = await again.boot()
    await ironic.waitFor(again.uuid, ['active'])
    expect(await differencesFromImage(machine.disk.path, image.path)).toEqual([])
    expect(await next.exited).toBe(0)
  })

  test('an agent whose deploy failed lives on, and says why Ironic takes no more of it', async () => {
    const machine = await createMachine({ info: { image_os_hash_value: 'ab'.repeat(32) } })
    await ironic.provision(machine.uuid, 'active')
    await ironic.waitFor(machine.uuid, ['wait call-back'])
    const agent = await machine.boot()
    await ironic.waitFor(machine.uuid, ['deploy failed'])
    // with the failure Ironic throws the token away, and refuses heartbeats until the machine is started anew
    const refused = async () => (await agent.log()).match(/missing agent token/g)?.length ?? 0
    await expect.poll(refused, { timeout: 240_000, interval: 1000 }).toBeGreaterThan(1)
    expect(agent.child.exitCode).toBeNull()
    expect(await bootableTraces(machine.disk.path)).toEqual([])
    await agent[Symbol.asyncDispose]()
  })

  test('a conductor that is started anew during a deploy finds the agent, and the node becomes active', async () => {
    const machine = await createMachine()
    const agent = await startSlowDeploy(machine)
    await ironic.restart()
    expect((await ironic.node(machine.uuid)).provision_state).toBe('wait call-back')
    await ironic.waitFor(machine.uuid, ['active'])
    expect(await differencesFromImage(machine.disk.path, image.path)).toEqual([])
    expect(await agent.exited).toBe(0)
    expect((await agent.log()).match(/"msg":"agent started"/g)).toHaveLength(1)
  })

  test('an agent that comes up while no Ironic answers looks its node up until one does', async () => {
    const machine = await createMachine({ options: { lookup_timeout: 600 } })
    await ironic.provision(machine.uuid, 'active')
    await ironic.waitFor(machine.uuid, ['wait call-back'])
    await ironic.restart(async () => {
      const { log } = await machine.boot()
      await expect.poll(log, { timeout: 60_000 }).toContain('"msg":"lookup failed"')
    })
    await ironic.waitFor(machine.uuid, ['active'])
    expect(await differencesFromImage(machine.disk.path, image.path)).toEqual([])
  })
})
