// Software RAID as Ironic asks for it: made, deployed to, cleaned, deleted, by the agent of the shipped ramdisk. What
// came of it is read from the disks on this machine, by mdadm, sgdisk and sfdisk.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasArrayMaker } from '../../support/vm/array-maker.ts'
import { SMALL_IMAGE } from '../../support/vm/ironic-lab.ts'
import { readSuperblock } from '../../support/vm/md-superblock.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { findRamdisk } from '../../support/vm/ramdisk.ts'
import { BOOT_TIMEOUT_MS, bootAgent, runStep } from './agent-steps.ts'
import { createVmLab, type VmLab } from './lab.ts'
import { canBootMachines } from './requirements.ts'

const run = promisify(execFile)
const MiB = 1024 * 1024
const GiB = 1024 * MiB
const DISK_BYTES = 1280 * MiB
const FOLDER = join(import.meta.dirname, '../../../build/test-vm/raid-configuration')
const DISKS = `${FOLDER}-disks`
const MEMBERS = ['member-1', 'member-2'] as const
/** A mirror of half a GiB takes a minute, in which the agent looks 12 times. */
const SLOW_BYTES_PER_SECOND = 8 * MiB
/** As `/v1/status` has it. */
interface SyncingArray {
  readonly array: string
  readonly action: string
  readonly unit: string
  readonly done: number
  readonly total: number
  readonly percent: number
}
const pathOf = (serial: string) => join(DISKS, serial)

const physical_disks = MEMBERS.map((serial) => ({ serial }))
const SOFTWARE = { controller: 'software', physical_disks } as const
/** In another order than on the disks: MAX is what the other leaves. */
const TARGET = {
  logical_disks: [
    { ...SOFTWARE, raid_level: '1', size_gb: 1, volume_name: 'root', is_root_volume: true },
    { ...SOFTWARE, raid_level: '0', size_gb: 'MAX', volume_name: 'data', is_root_volume: false },
  ],
}

async function makeDisks(): Promise<void> {
  await rm(DISKS, { recursive: true, force: true })
  await mkdir(DISKS, { recursive: true })
  for (const serial of MEMBERS) {
    await using disk = await open(pathOf(serial), 'w')
    await disk.truncate(DISK_BYTES)
  }
}

async function digests(): Promise<string[]> {
  const found: string[] = []
  for (const serial of MEMBERS) {
    const hash = createHash('sha256')
    await pipeline(createReadStream(pathOf(serial)), hash)
    found.push(hash.digest('hex'))
  }
  return found
}

/** True if the disk has nothing on it: not one byte that is not zero. */
async function isBlank(serial: string): Promise<boolean> {
  const argv = ['--silent', `--bytes=${DISK_BYTES}`, pathOf(serial), '/dev/zero']
  return await run('cmp', argv).then(
    () => true,
    () => false,
  )
}

/** The partitions by sfdisk, in bytes; sgdisk finds nothing wrong with the table. */
async function tableOf(serial: string) {
  expect((await run('sgdisk', ['--verify', pathOf(serial)])).stdout).toContain('No problems found')
  const { stdout } = await run('sfdisk', ['--json', pathOf(serial)])
  const { partitiontable } = JSON.parse(stdout) as {
    partitiontable: { label: string; partitions: { start: number; size: number; type: string }[] }
  }
  const partitions = partitiontable.partitions.map(({ start, size, type }) => ({
    offset: start * 512,
    length: size * 512,
    type,
  }))
  return { label: partitiontable.label, partitions }
}

/** Of both members of both arrays, by mdadm. */
async function arrayUuids(): Promise<string[]> {
  const uuids: string[] = []
  for (const serial of MEMBERS) {
    for (const partition of (await tableOf(serial)).partitions) {
      uuids.push((await readSuperblock(pathOf(serial), partition)).arrayUuid)
    }
  }
  return uuids
}

/** The first bytes of the array as this member of the mirror has them. */
async function mirrored(serial: string, length: number): Promise<Buffer> {
  const { partitions } = await tableOf(serial)
  const [root] = partitions
  if (root === undefined) throw new Error(`${serial} has no partition`)
  const { dataOffset } = await readSuperblock(pathOf(serial), root)
  await using disk = await open(pathOf(serial))
  const bytes = Buffer.alloc(length)
  await disk.read(bytes, 0, length, root.offset + dataOffset)
  return bytes
}

describe.skipIf(!canBootMachines() || !hasArrayMaker())(
  'software RAID as Ironic asks for it',
  { timeout: 2 * BOOT_TIMEOUT_MS },
  () => {
    let lab: VmLab
    let machine: QemuMachine

    beforeAll(async () => {
      await makeDisks()
      const moreDisks = MEMBERS.map((serial) => ({ path: pathOf(serial), serial, isLun: false }))
      const setting = { nodes: 1, boot: 'direct', firmware: 'bios', isSwarm: false } as const
      const size = { image: SMALL_IMAGE, memoryMib: 512, moreDisks }
      const ramdisk = findRamdisk(process.env)
      lab = await createVmLab({ ...setting, ...size, ramdisk }, FOLDER, 'any')
      machine = lab.machines[0] as QemuMachine
    }, BOOT_TIMEOUT_MS)

    afterAll(() => lab?.[Symbol.asyncDispose]())

    const nodeWith = (changes: Record<string, unknown> = {}) => ({
      uuid: machine.uuid,
      // room for an ESP, though the laboratory starts the kernel itself
      properties: { capabilities: 'boot_mode:uefi' },
      driver_internal_info: { agent_erase_devices_iterations: 0, disk_erasure_concurrency: 4 },
      ...changes,
    })
    /** Five GiB beside the members, which nobody is to erase. */
    const OWN_DISK = () => ({ serial: machine.name })
    const skipping = (...entries: Record<string, unknown>[]) => ({
      properties: { capabilities: 'boot_mode:uefi', skip_block_devices: entries },
    })
    const clean = async (
      client: Awaited<ReturnType<typeof bootAgent>>,
      step: string,
      changes: Record<string, unknown>,
    ) => {
      const of = step.startsWith('erase') ? 'deploy' : 'raid'
      return await runStep(client, { kind: 'clean', step, interface: of, node: nodeWith(changes) })
    }

    /**
     * What `/v1/status` says of the arrays that md brings in sync, look by look, until it says that none is. Slow disks are
     * slow until it has told of progress twice.
     */
    const watchSync = async () => {
      const looks: SyncingArray[] = []
      const look = async () => {
        const status = await lab.ironic.agentStatus(machine.uuid)
        const syncing = status?.['syncing_arrays'] as SyncingArray[] | undefined
        looks.push(...(syncing ?? []))
        if (new Set(looks.map(({ done }) => done)).size > 2) await machine.limitMoreDisks(0)
        return looks.length > 0 && syncing?.length === 0
      }
      await expect.poll(look, { timeout: BOOT_TIMEOUT_MS, interval: 1000 }).toBe(true)
      return looks
    }

    test('takes back what it made when mdadm fails half-way', async () => {
      const client = await bootAgent(lab, machine, 'module_blacklist=raid0')
      const result = await clean(client, 'create_configuration', { target_raid_config: TARGET })
      await machine.powerOff()
      expect(result.command_error).toMatchObject({
        type: 'SoftwareRAIDError',
        details: expect.stringMatching(/mdadm.*it was taken back$/s),
      })
      for (const serial of MEMBERS) expect(await isBlank(serial)).toBe(true)
    })

    test('makes the arrays, says how far the mirror is in sync, and an image goes to it on both members', async () => {
      const client = await bootAgent(lab, machine)
      const before = await machine.serial.end()
      await machine.limitMoreDisks(SLOW_BYTES_PER_SECOND)
      const [looks, made] = await Promise.all([
        watchSync(),
        clean(client, 'create_configuration', { target_raid_config: TARGET }),
      ])
      expect(made).toMatchObject({ command_error: null, command_result: { clean_result: TARGET } })
      const total = looks.find((array) => array.total > 0)?.total
      for (const array of looks.filter(({ done }) => done > 0)) {
        expect(array).toMatchObject({ array: '/dev/md0', action: 'resync', unit: 'bytes', total })
        expect(array.percent).toBeCloseTo((100 * array.done) / array.total, 0)
      }
      expect(total).toBeGreaterThan(GiB - 560 * MiB)
      const said = await machine.serial.text(before)
      expect(said).toMatch(/ironswarm: .*RAID \/dev\/md0 resync \d+\.\d% .*MiB\/s/)

      const inventory = await client.command('poll.get_hardware_info', {}, true)
      const disks = inventory.command_result?.['disks'] as { name: string; size: number }[]
      expect(disks.map(({ name }) => name).sort()).toEqual(
        expect.arrayContaining(['/dev/md0', '/dev/md1']),
      )

      const { image, origin } = lab.source
      const image_info = {
        id: 'small',
        urls: [origin.url],
        disk_format: 'raw',
        os_hash_algo: 'sha256',
        os_hash_value: image.sha256,
      }
      const written = await runStep(client, {
        kind: 'deploy',
        step: 'write_image',
        interface: 'deploy',
        args: { image_info },
        node: nodeWith(),
      })
      expect(written).toMatchObject({ command_status: 'SUCCEEDED', command_error: null })
      await machine.powerOff()

      await using file = await open(SMALL_IMAGE)
      // the tables are moved to the end of the array
      const [from, length] = [MiB, image.sizeBytes - 2 * MiB]
      const expected = Buffer.alloc(length)
      await file.read(expected, 0, length, from)
      for (const serial of MEMBERS) {
        const { label, partitions } = await tableOf(serial)
        expect(label).toBe('gpt')
        expect(partitions.map(({ offset }) => offset)).toEqual([551 * MiB, GiB])
        expect(partitions[0]?.length).toBe(GiB - 551 * MiB)
        const [root, data] = await Promise.all(
          partitions.map((partition) => readSuperblock(pathOf(serial), partition)),
        )
        expect([root?.name, root?.level, data?.name, data?.level]).toEqual([
          ...['any:root', 'raid1'],
          ...['any:data', 'raid0'],
        ])
        const bytes = await mirrored(serial, from + length)
        expect(bytes.subarray(from).equals(expected)).toBe(true)
      }
    })

    test('starts the arrays of another boot and leaves them alone, byte for byte, where skip_block_devices says so', async () => {
      const before = await digests()
      const client = await bootAgent(lab, machine)
      const kept = skipping(OWN_DISK(), { volume_name: 'root' }, { volume_name: 'data' })
      const result = await clean(client, 'erase_devices', { ...kept, raid_config: TARGET })
      expect(result.command_error).toBeNull()
      const lines = Object.entries(result.command_result?.['clean_result'] as object)
      expect(lines.filter(([, line]) => !/^left alone: skip_block_devices/.test(line))).toEqual([])
      expect(lines.filter(([name]) => name.startsWith('/dev/md'))).toHaveLength(2)
      await machine.powerOff()
      expect(await digests()).toEqual(before)
    })

    test('cleaning erases what is on the arrays, and they stay', async () => {
      const before = await arrayUuids()
      const client = await bootAgent(lab, machine)
      const changes = { ...skipping(OWN_DISK()), raid_config: TARGET }
      const result = await clean(client, 'erase_devices_metadata', changes)
      expect(result.command_error).toBeNull()
      await machine.powerOff()
      expect(new Set(before).size).toBe(2)
      expect(await arrayUuids()).toEqual(before)
      for (const serial of MEMBERS) {
        expect((await mirrored(serial, 16 * MiB)).equals(Buffer.alloc(16 * MiB))).toBe(true)
      }
    })

    test('apply_configuration puts new arrays in the place of those that are there', async () => {
      const before = await arrayUuids()
      const client = await bootAgent(lab, machine)
      const applied = await runStep(client, {
        kind: 'deploy',
        step: 'apply_configuration',
        interface: 'raid',
        args: { raid_config: TARGET },
        node: nodeWith({ raid_config: TARGET }),
      })
      expect(applied).toMatchObject({
        command_error: null,
        command_result: { deploy_result: TARGET },
      })
      await machine.powerOff()
      const after = await arrayUuids()
      expect([after.length, new Set([...before, ...after]).size]).toEqual([4, 4])
    })

    test('deletes one array that lost a member, and then nothing is found on the disks', async () => {
      // the second disk is swapped for an empty one
      await using disk = await open(pathOf(MEMBERS[1]), 'w')
      await disk.truncate(DISK_BYTES)
      const client = await bootAgent(lab, machine)
      const result = await clean(client, 'delete_configuration', { raid_config: TARGET })
      expect(result).toMatchObject({ command_error: null, command_result: { clean_result: null } })
      await machine.powerOff()
      for (const serial of MEMBERS) {
        const { stdout } = await run('wipefs', ['--noheadings', pathOf(serial)])
        expect(stdout).toBe('')
      }
      await using left = await open(pathOf(MEMBERS[0]))
      for (const offset of [551 * MiB, GiB]) {
        const bytes = Buffer.alloc(16 * MiB)
        await left.read(bytes, 0, bytes.length, offset)
        expect(bytes.equals(Buffer.alloc(bytes.length))).toBe(true)
      }
    })
  },
)
