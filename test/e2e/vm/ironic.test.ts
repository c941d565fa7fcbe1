// What an operator does with machines and an unmodified Ironic, from power-on to the running instance.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  bootableTraces,
  differencesFromImage,
  readPartitionTable,
} from '../../support/compare-disk.ts'
import { createIronicLab, hasEspImage, type IronicLab } from '../../support/vm/ironic-lab.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import {
  DEPLOY_TIMEOUT_MS,
  type Deployed,
  deploy,
  instanceInfo,
  report,
  showLogsOnFailure,
  startDeploy,
  waitForInstance,
} from './deploys.ts'
import { canBootMachines } from './requirements.ts'

const MiB = 1024 * 1024
const FOLDER = join(import.meta.dirname, '../../../build/test-vm/ironic')
const RESCUE_PASSWORD = 'correct horse'

describe.skipIf(!canBootMachines())(
  'an unmodified Ironic 21.4 with its own Redfish driver',
  {
    timeout: DEPLOY_TIMEOUT_MS,
  },
  () => {
    let lab: IronicLab

    beforeAll(async () => {
      lab = await createIronicLab(
        [
          { name: 'uefi-1', firmware: 'uefi', hasPlainNic: true },
          { name: 'bios-1', firmware: 'bios' },
          { name: 'bios-2', firmware: 'bios', hasNvme: true },
          { name: 'bios-3', firmware: 'bios' },
          { name: 'media-bios', firmware: 'bios' },
          { name: 'media-uefi', firmware: 'uefi' },
        ],
        FOLDER,
      )
    })

    afterAll(() => lab?.[Symbol.asyncDispose]())

    const use = (...names: string[]): QemuMachine[] => {
      const machines = names.map((name) => lab.machine(name))
      showLogsOnFailure(lab, machines)
      return machines
    }
    const useOne = (name: string) => use(name)[0] as QemuMachine

    /** Ends the node: `deleted`, with what comes after it. */
    const undeploy = async (uuid: string): Promise<void> => {
      await lab.ironic.provision(uuid, 'deleted')
      await lab.ironic.waitFor(uuid, ['available'], DEPLOY_TIMEOUT_MS)
    }

    /** All but the root file system, which the instance has mounted and written to since. */
    const expectGoodDisk = async ({ disk }: QemuMachine) => {
      const { path } = lab.source.image
      const root = (await readPartitionTable(path))?.partitions?.[1]
      const rootBegins = (root?.start ?? 0) * 512
      const differences = await differencesFromImage(disk, path)
      const isOfRoot = (words: string) => {
        const found = /^bytes (\d+)-/.exec(words)
        return found !== null && Number(found[1]) >= rootBegins
      }
      expect(differences.filter((words) => !isOfRoot(words))).toEqual([])
    }

    /** Starts a deploy with a slow image and comes back in the middle of the write. */
    const untilMidWrite = async (machine: QemuMachine, uuid: string): Promise<Deployed> => {
      const { origin } = lab.source
      const sentBefore = origin.bytesSent
      origin.faults = { rateBytesPerSecond: 2 * MiB }
      const started = await startDeploy(lab, machine, uuid, instanceInfo(lab))
      while (origin.bytesSent - sentBefore < 6 * MiB) {
        const { provision_state } = await lab.ironic.node(uuid)
        expect(['deploying', 'wait call-back']).toContain(provision_state)
        await delay(200)
      }
      return started
    }

    test('deploys a UEFI machine whose firmware loads iPXE by TFTP, over HTTP; later cleans its disk', async () => {
      const machine = useOne('uefi-1')
      const uuid = await lab.enrol(machine)
      const { words, console, seconds } = await deploy(lab, machine, uuid)
      report(machine.name, { deploy: seconds })
      expect(words).toContain('firmware=uefi hostname=uefi-1')
      expect(console).toContain(`"uuid": "${uuid}"`)
      expect(console).toContain('echo uefi-1')
      await machine.powerOff()
      await expectGoodDisk(machine)

      await lab.ironic.call('PATCH', `/v1/nodes/${uuid}`, [
        { op: 'add', path: '/automated_clean', value: true },
      ])
      const began = performance.now()
      await undeploy(uuid)
      report(machine.name, { 'automated cleaning': (performance.now() - began) / 1000 })
      expect(await bootableTraces(machine.disk)).toEqual([])
      expect(machine.isOn()).toBe(false)
    })

    test('deploys three machines at once over a swarm; rescues one of them and brings its instance back', async () => {
      const machines = use('bios-1', 'bios-2', 'bios-3')
      const { origin, image } = lab.source
      const sentBefore = origin.bytesSent
      origin.faults = { rateBytesPerSecond: 3 * MiB }
      const uuids = await Promise.all(machines.map((machine) => lab.enrol(machine)))
      await Promise.all(
        machines.map(async (machine, i) => {
          const info = instanceInfo(lab, { torrent: true })
          const { words, seconds } = await deploy(lab, machine, uuids[i] as string, info)
          report(machine.name, { deploy: seconds })
          expect(words).toContain(`firmware=bios hostname=${machine.name}`)
        }),
      )
      origin.faults = {}
      // three downloads would be 3.0
      expect((origin.bytesSent - sentBefore) / image.sizeBytes).toBeLessThan(2)
      for (const machine of machines) await machine.powerOff()
      for (const machine of machines) await expectGoodDisk(machine)

      const [machine, uuid] = [machines[0] as QemuMachine, uuids[0] as string]
      await rescue(machine, uuid)
      const from = await machine.serial.end()
      await lab.ironic.provision(uuid, 'unrescue')
      await lab.ironic.waitFor(uuid, ['active'], DEPLOY_TIMEOUT_MS)
      expect((await waitForInstance(machine, from)).words).toContain('hostname=bios-1')
      await machine.powerOff()
    })

    async function rescue(machine: QemuMachine, uuid: string): Promise<void> {
      const timing = { timeoutMs: 120_000, from: await machine.serial.end() }
      await lab.ironic.provision(uuid, 'rescue', { rescue_password: RESCUE_PASSWORD })
      await lab.ironic.waitFor(uuid, ['rescue'], DEPLOY_TIMEOUT_MS)
      await machine.serial.waitFor(/login: *$/, timing)
      await machine.type('rescue\n')
      await machine.serial.waitFor(/Password: *$/, timing)
      await machine.type(`${RESCUE_PASSWORD}\n`)
      await machine.serial.waitFor(/[$#] *$/, timing)
      await machine.type('sudo id\n')
      await machine.serial.waitFor(/uid=0\(root\)/, timing)
    }

    test('a wrong checksum ends in deploy failed, with logs collected and a disk that cannot boot', async () => {
      const machine = useOne('bios-1')
      const uuid = await lab.enrol(machine)
      const before = await lab.ironic.deployLogs()
      await startDeploy(
        lab,
        machine,
        uuid,
        instanceInfo(lab, { image_os_hash_value: 'ab'.repeat(32) }),
      )
      const node = await lab.ironic.waitFor(uuid, ['deploy failed'], DEPLOY_TIMEOUT_MS)
      expect(node.last_error).toContain('sha256')
      expect(await bootableTraces(machine.disk)).toEqual([])
      const bundles = (await lab.ironic.deployLogs()).filter((path) => !before.includes(path))
      expect(bundles).toHaveLength(1)
      expect((await readFile(bundles[0] as string)).subarray(0, 2)).toEqual(
        Buffer.from([0x1f, 0x8b]),
      )
    })

    test('an agent killed in mid-write and restarted never leads to an active node with a bad disk', async () => {
      const machine = useOne('bios-2')
      const uuid = await lab.enrol(machine)
      const { from } = await untilMidWrite(machine, uuid)
      await machine.pressSysRq('f')
      await machine.serial.waitFor(/Killed process|agent ended with 137/, {
        timeoutMs: 60_000,
        from,
      })
      lab.source.origin.faults = {}
      const node = await lab.ironic.waitFor(uuid, ['deploy failed', 'active'], DEPLOY_TIMEOUT_MS)
      if (node.provision_state === 'active') return expectGoodDisk(machine)
      expect(node.last_error).toMatch(/started again|interrupted/)
      expect(await bootableTraces(machine.disk)).toEqual([])
    })

    test('a machine that loses its power in mid-write has a disk that cannot boot', async () => {
      const machine = useOne('bios-3')
      const uuid = await lab.enrol(machine)
      await untilMidWrite(machine, uuid)
      await machine.powerOff()
      lab.source.origin.faults = {}
      expect(await bootableTraces(machine.disk)).toEqual([])
      expect((await lab.ironic.node(uuid)).provision_state).not.toBe('active')
      await undeploy(uuid)
    })

    const deployByMedia = async (machine: QemuMachine): Promise<void> => {
      const uuid = await lab.enrol(machine, { bootInterface: 'redfish-virtual-media' })
      const { words, seconds, console } = await deploy(lab, machine, uuid)
      report(machine.name, { deploy: seconds })
      expect(words).toContain(`firmware=${machine.setup.firmware} hostname=${machine.name}`)
      expect(console).toContain('from cdrom')
      const done = lab.redfish.actions.filter((action) => action.machine === machine.name)
      expect(done.map(({ what }) => what)).toContain('InsertMedia Cd')
      expect(done.map(({ what }) => what)).toContain('EjectMedia Cd')
      await machine.powerOff()
      await expectGoodDisk(machine)
    }

    test('deploys a BIOS machine over virtual media: an ISO that Ironic makes, no PXE', () =>
      deployByMedia(useOne('media-bios')))

    test.skipIf(!hasEspImage())('deploys a UEFI machine over virtual media', () =>
      deployByMedia(useOne('media-uefi')),
    )
  },
)
