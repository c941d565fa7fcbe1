// A real, unmodified Ironic drives the agent as it drives ironic-python-agent.
import { execFile } from 'node:child_process'
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest'
import { type AgentProcess, startAgent } from '../../support/agent-process.ts'
import {
  bootableTraces,
  differencesFromImage,
  readPartitionTable,
} from '../../support/compare-disk.ts'
import { type DiskImage, makeDiskImage } from '../../support/disk-image.ts'
import { createHttpOrigin, type HttpOrigin } from '../../support/http-origin.ts'
import { type Ironic, startIronic } from '../../support/ironic.ts'
import { createLoopDevice, hasLoopDevices, type LoopDevice } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { startTracker, type Tracker } from '../../support/tracker.ts'

const MiB = 1024 * 1024
const NODE = 'node_modules/.bin/node'
const run = promisify(execFile)
const canRun =
  hasLoopDevices('deploys by a real Ironic') && hasPackages('agent') && hasPackages('ironic')

describe.skipIf(!canRun)('an unmodified Ironic 21.4', { timeout: 180_000 }, () => {
  let ironic: Ironic
  let directory: string
  let image: DiskImage
  let origin: HttpOrigin
  let tracker: Tracker
  let nodeCount = 0
  const agents: AgentProcess[] = []
  const disks: LoopDevice[] = []

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ironswarm-deploys-'))
    image = await makeDiskImage(join(directory, 'image.raw'), { sizeBytes: 48 * MiB })
    tracker = await startTracker()
    const torrent = await makeTorrent()
    origin = await createHttpOrigin({ path: image.path, files: { '/image.torrent': torrent } })
    ironic = await startIronic()
  })

  afterAll(async () => {
    await ironic?.[Symbol.asyncDispose]()
    for (const agent of agents) await agent[Symbol.asyncDispose]()
    for (const disk of disks) await disk[Symbol.asyncDispose]()
    await origin?.[Symbol.asyncDispose]()
    await tracker?.[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  /** As an operator makes it, beside the image. */
  async function makeTorrent(): Promise<Uint8Array> {
    const path = join(directory, 'image.torrent')
    const flags = ['--path', image.path, '--output', path, '--tracker', tracker.url]
    await run(NODE, ['agent/main.ts', 'torrent', 'create', ...flags, '--piece-length', '1M'])
    return readFile(path)
  }

  /** What to look at first when a deploy did not end as expected. */
  async function printLogs(): Promise<void> {
    for (const agent of agents.slice(-3)) {
      console.log(`--- ${agent.name}\n${(await agent.log()).split('\n').slice(-15).join('\n')}`)
    }
    const lines = (await ironic.conductorLog()).split('\n')
    console.log(
      lines
        .filter((line) => / (WARNING|ERROR) /.test(line))
        .slice(-10)
        .join('\n'),
    )
  }

  interface Machine {
    readonly uuid: string
    readonly disk: LoopDevice
    boot(): Promise<AgentProcess>
  }

  /** A node of Ironic with its machine: a NIC, a disk, firmware. */
  async function createMachine(
    bootMode: 'uefi' | 'bios',
    options: Record<string, string | number | boolean> = {},
  ): Promise<Machine> {
    onTestFailed(printLogs)
    const name = `node-${++nodeCount}`
    const mac = `52:54:00:00:01:${String(nodeCount).padStart(2, '0')}`
    const disk = await createLoopDevice({ sizeBytes: 128 * MiB })
    disks.push(disk)
    const uuid = await ironic.enrol({ name, mac, bootMode })
    const machine = { name, mac, device: disk.path, apiUrl: ironic.url, bootMode, options }
    return {
      uuid,
      disk,
      boot: async () => {
        const agent = await startAgent({ ...machine, directory: join(directory, name) })
        agents.push(agent)
        return agent
      },
    }
  }

  const instanceInfo = (fields: Record<string, unknown> = {}) => ({
    image_source: origin.url,
    image_os_hash_algo: 'sha256',
    image_os_hash_value: image.sha256,
    image_disk_format: 'raw',
    ...fields,
  })

  const configdrive = {
    meta_data: { hostname: 'instance-of-the-test', uuid: 'b4e3c1f0-0000-4000-8000-000000000001' },
    user_data: '#!/bin/sh\necho ironswarm\n',
  }

  async function startDeploy(machine: Machine, info = instanceInfo()): Promise<AgentProcess> {
    await ironic.setInstanceInfo(machine.uuid, info)
    await ironic.provision(machine.uuid, 'active', { configdrive })
    // a lookup is answered from here on, as after a PXE boot that Ironic asked for
    await ironic.waitFor(machine.uuid, ['deploying', 'wait call-back'])
    return machine.boot()
  }

  async function expectGoodDisk(machine: Machine): Promise<void> {
    expect(await differencesFromImage(machine.disk.path, image.path)).toEqual([])
    const drive = await readConfigDrive(machine.disk.path)
    expect(drive.toString('latin1')).toContain('instance-of-the-test')
  }

  test('deploys a whole-disk image to a UEFI machine by HTTP over auto-TLS, with its config drive', async () => {
    const machine = await createMachine('uefi')
    const agent = await startDeploy(machine)
    await ironic.waitFor(machine.uuid, ['active'])
    await expectGoodDisk(machine)
    expect(await ironic.certificate(machine.uuid)).toContain('BEGIN CERTIFICATE')
    expect(await agent.exited).toBe(0)
    expect(await agent.log()).toContain('efibootmgr')
  })

  test('deploys a whole-disk image to a BIOS machine over plain HTTP', async () => {
    const machine = await createMachine('bios', { enable_auto_tls: false })
    const agent = await startDeploy(machine)
    await ironic.waitFor(machine.uuid, ['active'])
    await expectGoodDisk(machine)
    expect(await ironic.certificate(machine.uuid)).toBeUndefined()
    expect(await agent.exited).toBe(0)
  })

  test('deploys without image_disk_format, as a user who gave none', async () => {
    const machine = await createMachine('bios')
    const { image_disk_format: _, ...info } = instanceInfo()
    await startDeploy(machine, info as ReturnType<typeof instanceInfo>)
    await ironic.waitFor(machine.uuid, ['active'])
    await expectGoodDisk(machine)
  })

  test('deploys three nodes at once over a swarm, the torrent named in instance_info/image_torrent_file', async () => {
    const machines = await Promise.all([1, 2, 3].map(() => createMachine('uefi')))
    const sentBefore = origin.bytesSent
    origin.faults = { rateBytesPerSecond: 24 * MiB }
    const info = instanceInfo({ image_torrent_file: `${origin.baseUrl}/image.torrent` })
    await Promise.all(machines.map((machine) => startDeploy(machine, info)))
    await Promise.all(machines.map(({ uuid }) => ironic.waitFor(uuid, ['active'])))
    origin.faults = {}
    for (const machine of machines) await expectGoodDisk(machine)
    // three downloads would be 3.0; the swarm shares
    expect((origin.bytesSent - sentBefore) / image.sizeBytes).toBeLessThan(2)
  })

  test('a wrong checksum ends in deploy failed, a disk that cannot boot, and a collected log bundle', async () => {
    const machine = await createMachine('uefi')
    const before = await ironic.deployLogs()
    const agent = await startDeploy(machine, instanceInfo({ image_os_hash_value: 'ab'.repeat(32) }))
    const node = await ironic.waitFor(machine.uuid, ['deploy failed'])
    expect(node.last_error).toContain('sha256')
    expect(await bootableTraces(machine.disk.path)).toEqual([])
    const bundle = (await ironic.deployLogs()).filter((path) => !before.includes(path))
    expect(bundle).toHaveLength(1)
    expect((await readFile(bundle[0] as string)).subarray(0, 2)).toEqual(Buffer.from([0x1f, 0x8b]))
    expect(agent.child.exitCode).toBeNull()
    await agent[Symbol.asyncDispose]()
  })

  test('an agent killed in mid-write and restarted never leads to an active node', async () => {
    const machine = await createMachine('uefi')
    origin.faults = { rateBytesPerSecond: 8 * MiB }
    const sentBefore = origin.bytesSent
    const agent = await startDeploy(machine)
    while (origin.bytesSent - sentBefore < 8 * MiB) await delay(50)
    agent.child.kill('SIGKILL')
    await agent.exited
    expect(await bootableTraces(machine.disk.path)).toEqual([])
    origin.faults = {}
    const restarted = await machine.boot()
    const node = await ironic.waitFor(machine.uuid, ['deploy failed', 'active'])
    expect(node.provision_state).toBe('deploy failed')
    expect(node.last_error).toContain('started again')
    expect(await bootableTraces(machine.disk.path)).toEqual([])
    await restarted[Symbol.asyncDispose]()
  })
})

/** The bytes of the partition that holds an ISO 9660 volume: the last one of the table. */
async function readConfigDrive(device: string): Promise<Buffer> {
  const table = await readPartitionTable(device)
  const partition = table?.partitions?.toSorted((a, b) => b.start - a.start)[0]
  if (!partition) throw new Error(`${device} has no partitions`)
  await using disk = await open(device)
  const bytes = Buffer.alloc(Math.min(partition.size * 512, 4 * MiB))
  await disk.read(bytes, 0, bytes.length, partition.start * 512)
  return bytes
}
