// A real, unmodified Ironic of a newer release services a machine: IRONIC_TREE says which one.
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest'
import { createMachines, type Machine, type Machines } from '../../support/ironic/machines.ts'
import { hasIronicUnderTest, IRONIC_UNDER_TEST } from '../../support/ironic/program.ts'
import { type Ironic, startIronic } from '../../support/ironic.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const RELEASE = Number.parseInt(IRONIC_UNDER_TEST.version, 10)

function knowsService(): boolean {
  const isNewer = RELEASE >= 29
  if (!isNewer) console.log(`skipped: Ironic ${IRONIC_UNDER_TEST.version} services no machine`)
  return isNewer
}

const canRun =
  hasLoopDevices('service by a real Ironic') &&
  hasPackages('agent') &&
  hasPackages('burn-in') &&
  hasIronicUnderTest() &&
  knowsService()

describe.skipIf(!canRun)(
  `an unmodified Ironic ${IRONIC_UNDER_TEST.version}`,
  { timeout: 600_000 },
  () => {
    let ironic: Ironic
    let machines: Machines

    beforeAll(async () => {
      ironic = await startIronic({
        ...{ program: IRONIC_UNDER_TEST, requireTls: true },
        // without it 29 refuses the lookup of a node in service
        settings: RELEASE < 35 ? { deploy: { fast_track: 'True' } } : {},
      })
      machines = await createMachines(ironic)
    }, 1_200_000)

    afterAll(async () => {
      await ironic?.[Symbol.asyncDispose]()
      await machines?.[Symbol.asyncDispose]()
    })

    /** An active node that waits for its machine's agent, to have a processor burnt in. */
    async function inService(fields: Record<string, unknown> = {}): Promise<Machine> {
      onTestFailed(async () => console.log(await machines.logs()))
      const [kernel, ramdisk] = ['kernel', 'ramdisk'].map((name) => `${ironic.filesUrl}/${name}`)
      const machine = await machines.create({
        bootMode: 'uefi',
        diskBytes: 96 * 1024 * 1024,
        until: 'manageable',
        fields: {
          ...fields,
          driver_info: {
            deploy_kernel: kernel,
            deploy_ramdisk: ramdisk,
            agent_burnin_cpu_cpu: 1,
            agent_burnin_cpu_timeout: 1,
          },
          instance_info: {
            image_source: kernel,
            image_checksum: '5eb63bbbe01eeed093cb22bb8f5acdc3',
            root_gb: 1,
          },
        },
      })
      await ironic.provision(machine.uuid, 'adopt')
      await ironic.waitFor(machine.uuid, ['active'])
      const steps = [{ interface: 'deploy', step: 'burnin_cpu' }]
      await ironic.provision(machine.uuid, 'service', { service_steps: steps })
      await ironic.waitFor(machine.uuid, ['service wait'])
      return machine
    }

    test('services an active node by a step of the agent, and it is active again', async () => {
      const machine = await inService()
      const agent = await machine.boot()
      await ironic.waitFor(machine.uuid, ['active'])
      expect(await agent.log()).toContain('"msg":"burn in cpu finished"')
    })

    // Ironic means to lock it down then, but has forgotten its address by that time, and has it started anew
    test('services a machine that must not be switched off, and it is active again', async () => {
      const machine = await inService({ disable_power_off: true })
      const agent = await machine.boot()
      await ironic.waitFor(machine.uuid, ['active'])
      expect(await agent.log()).toContain('"msg":"burn in cpu finished"')
      expect(agent.child.exitCode).toBeNull()
    })
  },
)
