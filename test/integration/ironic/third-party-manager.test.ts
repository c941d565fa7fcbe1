// A real, unmodified Ironic runs steps of a hardware manager that somebody else has written: which one, IRONIC_TREE says.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest'
import { createMachines, type Machine, type Machines } from '../../support/ironic/machines.ts'
import { hasIronicUnderTest, IRONIC_UNDER_TEST } from '../../support/ironic/program.ts'
import { type Ironic, startIronic } from '../../support/ironic.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const MANAGER = `
export const apiVersion = 1
export const createHardwareManager = (agent) => ({
  name: 'acme_fans',
  version: '1.0',
  evaluateHardwareSupport: () => 3,
  steps: [{
    kinds: ['clean'],
    step: 'spin_fans',
    priority: 0,
    touchesDisks: false,
    argsinfo: { count: { description: 'how many', required: true } },
    run: async ({ args, node }) => {
      if (args.count > 4) agent.fail('CleaningError', 'this machine has 4 fans')
      agent.log('info', 'fans spin', { fans: args.count, of: node.uuid })
      return 'spun'
    },
  }],
})
`
const canRun =
  hasLoopDevices('steps of a third-party manager') && hasPackages('agent') && hasIronicUnderTest()

const TITLE = `an unmodified Ironic ${IRONIC_UNDER_TEST.version}, and a manager of somebody else`

describe.skipIf(!canRun)(TITLE, { timeout: 600_000 }, () => {
  let ironic: Ironic
  let machines: Machines
  let folder: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ironswarm-third-party-'))
    await writeFile(join(folder, 'acme-fans.js'), MANAGER)
    ironic = await startIronic({ program: IRONIC_UNDER_TEST, requireTls: true })
    machines = await createMachines(ironic)
  }, 1_200_000)

  afterAll(async () => {
    await ironic?.[Symbol.asyncDispose]()
    await machines?.[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  async function cleaned(count: number, state: string): Promise<{ machine: Machine; log: string }> {
    onTestFailed(async () => console.log(await machines.logs()))
    const options = { hardware_managers: folder }
    const diskBytes = 96 * 1024 * 1024
    const until = 'manageable'
    const machine = await machines.create({ bootMode: 'uefi', diskBytes, until, options })
    const step = { interface: 'deploy', step: 'spin_fans', args: { count } }
    await ironic.provision(machine.uuid, 'clean', { clean_steps: [step] })
    await ironic.waitFor(machine.uuid, ['clean wait'])
    const agent = await machine.boot()
    await ironic.waitFor(machine.uuid, [state])
    return { machine, log: await agent.log() }
  }

  test('its step is run with the argument that the operator gave', async () => {
    const { machine, log } = await cleaned(3, 'manageable')
    const said = log.split('\n').find((line) => line.includes('fans spin')) ?? '{}'
    expect(said).toContain('"fans":3')
    expect(said).toContain(machine.uuid)
    expect((await ironic.node(machine.uuid)).last_error).toBeNull()
  })

  test('a step that fails is told to the operator by its own words', async () => {
    const { machine } = await cleaned(5, 'clean failed')
    expect((await ironic.node(machine.uuid)).last_error).toContain('this machine has 4 fans')
  })
})
