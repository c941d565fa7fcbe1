// A real, unmodified Ironic has whole-disk images deployed by the agent: which one, IRONIC_TREE says.
import { execFile } from 'node:child_process'
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest'
import { bootableTraces, differencesFromImage } from '../../support/compare-disk.ts'
import { type DiskImage, makeDiskImage } from '../../support/disk-image.ts'
import { convertImage, packImage } from '../../support/formats/packed-image.ts'
import { createTestAuthority, type TestAuthority } from '../../support/http-certificates.ts'
import { createHttpOrigin, type HttpOrigin } from '../../support/http-origin.ts'
import {
  CONFIGDRIVE,
  createRig,
  deploy,
  infoOf,
  type Rig,
  readConfigDrive,
  startDeploy,
} from '../../support/ironic/deploy-rig.ts'
import type { Machine } from '../../support/ironic/machines.ts'
import { type OciImage, serveOciImage } from '../../support/ironic/oci-image.ts'
import { hasIronicUnderTest, IRONIC_UNDER_TEST } from '../../support/ironic/program.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { startTracker, type Tracker } from '../../support/tracker.ts'

const MiB = 1024 * 1024
const NODE = 'node_modules/.bin/node'
const run = promisify(execFile)
const canRun =
  hasLoopDevices('deploys by a real Ironic') && hasPackages('agent') && hasIronicUnderTest()
const TITLE = `an unmodified Ironic ${IRONIC_UNDER_TEST.version}`

describe.skipIf(!canRun)(TITLE, { timeout: 600_000 }, () => {
  let directory: string
  let image: DiskImage
  let origin: HttpOrigin
  let tracker: Tracker
  let authority: TestAuthority
  let oci: OciImage

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ironswarm-deploys-'))
    image = await makeDiskImage(join(directory, 'image.raw'), { sizeBytes: 48 * MiB })
    tracker = await startTracker()
    const torrent = await makeTorrent()
    origin = await createHttpOrigin({ path: image.path, files: { '/image.torrent': torrent } })
    authority = await createTestAuthority()
    oci = await serveOciImage(image, authority)
    await writeFile(join(directory, 'ca.pem'), authority.ca)
  })

  afterAll(async () => {
    await oci?.[Symbol.asyncDispose]()
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

  const instanceInfo = (fields: Record<string, unknown> = {}) =>
    infoOf(origin.url, image, { image_disk_format: 'raw', ...fields })

  /** A node that is to get the image, and its machine. */
  async function createMachine(
    { machines }: Rig,
    bootMode: 'uefi' | 'bios',
    { info = instanceInfo(), options = {}, diskBytes = 128 * MiB }: CreateOptions = {},
  ): Promise<Machine> {
    onTestFailed(async () => console.log(await machines.logs()))
    const fields = { instance_info: info }
    return machines.create({ bootMode, diskBytes, fields, options })
  }

  /** What `ironswarm watch` finds out of the node by Ironic and its agent. */
  async function watched({ ironic }: Rig, { uuid }: Machine): Promise<unknown> {
    const flags = ['--ironic', ironic.url, '--insecure-agents', '--once', '--json']
    const { stdout } = await run(NODE, ['agent/main.ts', 'watch', ...flags])
    const { nodes } = JSON.parse(stdout) as { nodes: { id: string }[] }
    return nodes.find(({ id }) => id === uuid)
  }

  async function expectGoodDisk(machine: Machine): Promise<void> {
    expect(await differencesFromImage(machine.disk.path, image.path)).toEqual([])
    expect(await readConfigDrive(machine.disk.path)).toContain(CONFIGDRIVE.meta_data.hostname)
  }

  describe('that asks for TLS', () => {
    let rig: Rig
    beforeAll(async () => {
      rig = await createRig({ requireTls: true, imageCa: authority.ca })
    }, 1_200_000)
    afterAll(() => rig?.[Symbol.asyncDispose]())

    test.each(['uefi', 'bios'] as const)(
      'deploys a whole-disk image to a machine with %s by HTTP over auto-TLS, with its config drive',
      async (bootMode) => {
        const machine = await createMachine(rig, bootMode)
        const agent = await deploy(rig, machine)
        await expectGoodDisk(machine)
        expect(await rig.ironic.certificate(machine.uuid)).toContain('BEGIN CERTIFICATE')
        expect(await agent.exited).toBe(0)
        expect((await agent.log()).includes('efibootmgr')).toBe(bootMode === 'uefi')
      },
    )

    test('shows in the node how far its image is, and what the node does changes nothing of it', async () => {
      const machine = await createMachine(rig, 'bios', { options: { status_message_interval: 5 } })
      // some twenty seconds: four times as long as it takes to be told
      origin.faults = { rateBytesPerSecond: image.sizeBytes / 20 }
      const agent = await startDeploy(rig, machine)
      await expect
        .poll(async () => (await rig.ironic.node(machine.uuid)).driver_internal_info, {
          timeout: 120_000,
          interval: 500,
        })
        .toMatchObject({ agent_status_message: expect.stringMatching(/writing the image \d/) })
      expect(await watched(rig, machine)).toMatchObject({
        provision_state: expect.stringMatching(/^(?:wait call-back|deploying)$/),
        url: expect.stringMatching(/^https:/),
        no_answer: null,
        command: 'execute_deploy_step',
      })
      origin.faults = {}
      const node = await rig.ironic.waitFor(machine.uuid, ['active'])
      expect(node.driver_internal_info).not.toHaveProperty('agent_status')
      await expectGoodDisk(machine)
      expect(await agent.exited).toBe(0)
    })

    test('refuses an agent that serves plain HTTP, whose log says why', async () => {
      const machine = await createMachine(rig, 'bios', { options: { enable_auto_tls: false } })
      const agent = await startDeploy(rig, machine)
      await expect
        .poll(() => agent.log(), { timeout: 60_000 })
        .toContain('TLS is required by configuration')
      expect((await rig.ironic.node(machine.uuid)).provision_state).toBe('wait call-back')
      await agent[Symbol.asyncDispose]()
    })

    test('deploys without image_disk_format, as a user who gave none', async () => {
      const { image_disk_format: _, ...info } = instanceInfo()
      const machine = await createMachine(rig, 'bios', { info })
      await deploy(rig, machine)
      await expectGoodDisk(machine)
    })

    test.for([
      ['qcow2', 'qcow2', 'uefi'],
      ['zstd', 'raw', 'bios'],
      ['a qcow2 in zstd', 'qcow2', 'bios'],
    ] as const)(
      'deploys a whole-disk image that is served as %s, by URL',
      async ([format, image_disk_format, bootMode]) => {
        const file =
          image_disk_format === 'raw' ? image : await convertImage(image.path, 'qcow2', ['-c'])
        const packed = format === 'qcow2' ? file : await packImage(file.path, 'zstd')
        await using packedOrigin = await createHttpOrigin({ path: packed.path })
        const info = {
          ...instanceInfo({ image_disk_format }),
          image_source: packedOrigin.url,
          image_os_hash_value: packed.sha256,
        }
        const machine = await createMachine(rig, bootMode, { info, diskBytes: 256 * MiB })
        await deploy(rig, machine)
        await expectGoodDisk(machine)
      },
    )

    test('rebuilds a machine whose disk somebody has written to', async () => {
      const machine = await createMachine(rig, 'uefi')
      await deploy(rig, machine)
      await scribble(machine.disk.path)
      expect(await differencesFromImage(machine.disk.path, image.path)).not.toEqual([])
      await deploy(rig, machine, 'rebuild')
      await expectGoodDisk(machine)
    })

    // by tag 29 says that the image is not specific; by digest 39 misses the image's size in what it asked for
    test.for([
      ['its tag', 35, 99, 'byTag'],
      ['the digest of its manifest', 29, 34, 'byDigest'],
    ] as const)(
      'deploys a raw image of an OCI registry by %s, where Ironic can (%i to %i)',
      async ([_what, since, until, source], { skip }) => {
        const { version } = IRONIC_UNDER_TEST
        const release = Number.parseInt(version, 10)
        skip(release < since || release > until, `Ironic ${version} cannot`)
        const info = { image_source: oci[source] }
        const options = { cafile: join(directory, 'ca.pem') }
        const machine = await createMachine(rig, 'uefi', { info, options })
        await deploy(rig, machine)
        await expectGoodDisk(machine)
      },
    )

    test('deploys three nodes at once over a swarm, the torrent named in instance_info/image_torrent_file', async () => {
      const info = instanceInfo({ image_torrent_file: `${origin.baseUrl}/image.torrent` })
      const machines = await Promise.all([1, 2, 3].map(() => createMachine(rig, 'uefi', { info })))
      const sentBefore = origin.bytesSent
      origin.faults = { rateBytesPerSecond: 24 * MiB }
      await Promise.all(machines.map((machine) => deploy(rig, machine)))
      origin.faults = {}
      for (const machine of machines) await expectGoodDisk(machine)
      // three downloads would be 3.0; the swarm shares
      expect((origin.bytesSent - sentBefore) / image.sizeBytes).toBeLessThan(2)
    })

    test('a wrong checksum ends in deploy failed, a disk that cannot boot, and a collected log bundle', async () => {
      const info = instanceInfo({ image_os_hash_value: 'ab'.repeat(32) })
      const machine = await createMachine(rig, 'uefi', { info })
      const before = await rig.ironic.deployLogs()
      const agent = await startDeploy(rig, machine)
      const node = await rig.ironic.waitFor(machine.uuid, ['deploy failed'])
      expect(node.last_error).toContain('sha256')
      expect(await bootableTraces(machine.disk.path)).toEqual([])
      const bundle = (await rig.ironic.deployLogs()).filter((path) => !before.includes(path))
      expect(bundle).toHaveLength(1)
      const start = (await readFile(bundle[0] as string)).subarray(0, 2)
      expect(start).toEqual(Buffer.from([0x1f, 0x8b]))
      expect(agent.child.exitCode).toBeNull()
      await agent[Symbol.asyncDispose]()
    })

    test('an agent killed in mid-write and restarted never leads to an active node', async () => {
      const machine = await createMachine(rig, 'uefi')
      origin.faults = { rateBytesPerSecond: 8 * MiB }
      const sentBefore = origin.bytesSent
      const agent = await startDeploy(rig, machine)
      while (origin.bytesSent - sentBefore < 8 * MiB) await delay(50)
      agent.child.kill('SIGKILL')
      await agent.exited
      expect(await bootableTraces(machine.disk.path)).toEqual([])
      origin.faults = {}
      const restarted = await machine.boot()
      const node = await rig.ironic.waitFor(machine.uuid, ['deploy failed', 'active'])
      expect(node.provision_state).toBe('deploy failed')
      expect(node.last_error).toContain('started again')
      expect(await bootableTraces(machine.disk.path)).toEqual([])
      await restarted[Symbol.asyncDispose]()
    })
  })

  describe('that allows plain HTTP', () => {
    let rig: Rig
    beforeAll(async () => {
      rig = await createRig({ requireTls: false })
    }, 1_200_000)
    afterAll(() => rig?.[Symbol.asyncDispose]())

    test.each(['uefi', 'bios'] as const)(
      'deploys a whole-disk image to a machine with %s over it',
      async (bootMode) => {
        const machine = await createMachine(rig, bootMode, { options: { enable_auto_tls: false } })
        const agent = await deploy(rig, machine)
        await expectGoodDisk(machine)
        expect(await rig.ironic.certificate(machine.uuid)).toBeUndefined()
        expect(await agent.exited).toBe(0)
      },
    )
  })
})

interface CreateOptions {
  readonly diskBytes?: number
  readonly info?: Record<string, unknown>
  /** Of the agent. */
  readonly options?: Record<string, string | number | boolean>
}

/** In the middle of the image, in no partition table. */
async function scribble(device: string): Promise<void> {
  await using disk = await open(device, 'r+')
  await disk.write(Buffer.alloc(MiB, 0xa5), 0, MiB, 20 * MiB)
  await disk.sync()
}
