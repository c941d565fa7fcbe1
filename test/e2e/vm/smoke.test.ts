// The shortest way through everything: a UEFI and a BIOS machine, a real Ironic, PXE, a swarm, an instance.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createIronicLab, type IronicLab } from '../../support/vm/ironic-lab.ts'
import {
  DEPLOY_TIMEOUT_MS,
  deploy,
  instanceInfo,
  loggedBytes,
  logIn,
  report,
  showLogsOnFailure,
} from './deploys.ts'
import { canBootMachines } from './requirements.ts'

const FOLDER = join(import.meta.dirname, '../../../build/test-vm/smoke')

describe.skipIf(!canBootMachines())('an unmodified Ironic and machines that boot by PXE', () => {
  let lab: IronicLab

  beforeAll(async () => {
    lab = await createIronicLab(
      [
        { name: 'smoke-uefi', firmware: 'uefi' },
        { name: 'smoke-bios', firmware: 'bios' },
      ],
      FOLDER,
    )
  })

  afterAll(() => lab?.[Symbol.asyncDispose]())

  test('a UEFI and a BIOS machine deploy over a swarm, and their instances run', {
    timeout: DEPLOY_TIMEOUT_MS,
  }, async () => {
    const machines = [lab.machine('smoke-uefi'), lab.machine('smoke-bios')]
    showLogsOnFailure(lab, machines)
    // the two do not come at the same second; an operator's seed gives each of them a peer
    await using _seed = lab.source.seed()
    await Promise.all(
      machines.map(async (machine) => {
        const uuid = await lab.enrol(machine)
        const info = instanceInfo(lab, { torrent: true })
        const { words, console, seconds, from } = await deploy(lab, machine, uuid, info)
        report(machine.name, { deploy: seconds })
        expect(words).toContain(`firmware=${machine.setup.firmware} hostname=${machine.name}`)
        expect(console).toContain('CONFIG-DRIVE file openstack/latest/meta_data.json')
        expect((await loggedBytes(machine, from)).peers).toBeGreaterThan(0)
        await logIn(machine)
        await machine.powerOff()
      }),
    )
  })
})
