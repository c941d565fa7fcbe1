// Cleaning a machine with arrays that mdadm and the kernel made: what is part of one keeps every byte.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type AgentClient, createAgentClient } from '../../support/fake-ironic/agent-client.ts'
import { forgetBoot } from '../../support/fake-ironic/node.ts'
import { ARRAYS_MADE, hasArrayMaker, makeArrayRamdisk } from '../../support/vm/array-maker.ts'
import { SMALL_IMAGE } from '../../support/vm/ironic-lab.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { findRamdisk } from '../../support/vm/ramdisk.ts'
import { createVmLab, type VmLab } from './lab.ts'
import { canBootMachines } from './requirements.ts'

const run = promisify(execFile)
const MiB = 1024 * 1024
const DISK_BYTES = 64 * MiB
/** Behind what erasing metadata zeroes. */
const MARK = { text: 'data of the last tenant', offset: 40 * MiB } as const
const FOLDER = join(import.meta.dirname, '../../../build/test-vm/raid')
const DISKS = `${FOLDER}-disks`
const BOOT_TIMEOUT_MS = 600_000

/** Two disks of each kind; `partitioned` ones hold a GPT with one partition, which is the member. */
const MEMBERS = ['whole', 'parted', 'imsm', 'ddf'].flatMap((kind) => [`${kind}-1`, `${kind}-2`])
const LUN = 'lun'
const PLAIN = 'plain'

const two = (kind: string, end = '') => `$(disk ${kind}-1)${end} $(disk ${kind}-2)${end}`
const create = (array: number, words: string) =>
  `mdadm --create /dev/md${array} --run --homehost=node ${words} </dev/null`
const MIRROR = '--level=1 --raid-devices=2'
/** A container before its volume; stopped the other way round. */
const ARRAYS = [10, 11, 126, 127, 124, 125]
const MAKE_ARRAYS = [
  // metadata of Intel's firmware without its controller
  'export IMSM_NO_PLATFORM=1 IMSM_DEVNAME_AS_SERIAL=1',
  create(10, `--metadata=1.2 --name=data ${MIRROR} ${two('whole')}`),
  create(11, `--metadata=1.0 --name=root ${MIRROR} ${two('parted', '1')}`),
  create(127, `--metadata=imsm --raid-devices=2 ${two('imsm')}`),
  create(126, `${MIRROR} /dev/md127`),
  create(125, `--metadata=ddf --raid-devices=2 ${two('ddf')}`),
  create(124, `${MIRROR} /dev/md125`),
  'cat /proc/mdstat',
  ...[10, 11, 126, 124].flatMap((array) => [
    `mdadm --wait /dev/md${array} || true`,
    `dd if=/dev/urandom of=/dev/md${array} bs=1M count=8`,
  ]),
  'sync',
  ...ARRAYS.map((array) => `mdadm --stop /dev/md${array}`),
  `mdadm --examine ${two('whole')} ${two('imsm')} ${two('ddf')} | grep -e Magic -e magic`,
]

const pathOf = (serial: string) => join(DISKS, serial)
/** One after the other: a disk is not held in memory. */
async function digests(serials: Iterable<string>): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>()
  for (const serial of serials) {
    const hash = createHash('sha256')
    await pipeline(createReadStream(pathOf(serial)), hash)
    found.set(serial, hash.digest('hex'))
  }
  return found
}
const isZero = (bytes: Buffer) => bytes.equals(Buffer.alloc(bytes.length))

/** The host's view, by libblkid. */
async function signatureOf(serial: string): Promise<string> {
  const argv = ['--probe', '--usages=raid', '--match-tag=TYPE', '--output=value', pathOf(serial)]
  return (await run('blkid', argv).catch(() => ({ stdout: '' }))).stdout.trim()
}

async function makeDisks(): Promise<void> {
  await rm(DISKS, { recursive: true, force: true })
  await mkdir(DISKS, { recursive: true })
  for (const serial of [...MEMBERS, LUN, PLAIN]) {
    await using disk = await open(pathOf(serial), 'w')
    await disk.truncate(DISK_BYTES)
  }
  for (const serial of ['parted-1', 'parted-2', PLAIN]) {
    await run('sgdisk', ['--new=1:2048:+48M', pathOf(serial)])
  }
  for (const serial of [LUN, PLAIN]) {
    await using disk = await open(pathOf(serial), 'r+')
    await disk.write(MARK.text, MARK.offset)
  }
  await run('mke2fs', ['-q', '-F', pathOf(LUN)])
}

describe.skipIf(!canBootMachines() || !hasArrayMaker())(
  'cleaning a machine with RAID and a LUN by two paths',
  { timeout: 2 * BOOT_TIMEOUT_MS },
  () => {
    let lab: VmLab
    let machine: QemuMachine
    let before: ReadonlyMap<string, string>

    beforeAll(async () => {
      await makeDisks()
      const ramdisk = findRamdisk(process.env)
      const moreDisks = [...MEMBERS, LUN, PLAIN].map((serial) => ({
        path: pathOf(serial),
        serial,
        isLun: serial === LUN,
      }))
      const setting = { nodes: 1, boot: 'direct', firmware: 'bios', isSwarm: false } as const
      const size = { image: SMALL_IMAGE, memoryMib: 512, moreDisks }
      lab = await createVmLab({ ...setting, ...size, ramdisk }, FOLDER, 'any')
      machine = lab.machines[0] as QemuMachine
      await makeArrays(ramdisk.initramfs)
      before = await digests([...MEMBERS, LUN])
    }, 2 * BOOT_TIMEOUT_MS)

    afterAll(() => lab?.[Symbol.asyncDispose]())

    /** By a boot of its own, so that the ramdisk finds arrays that it has never seen assembled. */
    async function makeArrays(shipped: string): Promise<void> {
      const initramfs = join(DISKS, 'maker.initramfs')
      await makeArrayRamdisk(shipped, MAKE_ARRAYS, initramfs)
      const kernel = machine.setup.kernel
      if (!kernel) throw new Error('the laboratory gives its machine no kernel')
      machine.setup.kernel = { ...kernel, initramfs }
      await machine.powerOn()
      await machine.waitForPowerOff(BOOT_TIMEOUT_MS)
      machine.setup.kernel = kernel
      expect(await machine.serial.text()).toContain(`\n${ARRAYS_MADE}`)
    }

    /** Boots the shipped ramdisk, with more words on the kernel line; its agent. */
    async function boot(words = ''): Promise<AgentClient> {
      const { kernel } = machine.setup
      if (kernel) machine.setup.kernel = { ...kernel, cmdline: `${kernel.cmdline} ${words}` }
      await machine.powerOff()
      const node = lab.ironic.nodes.get(machine.uuid)
      if (node) forgetBoot(node)
      const from = await machine.serial.end()
      await machine.powerOn()
      const timing = { timeoutMs: BOOT_TIMEOUT_MS, from }
      const [found] = await machine.serial.waitFor(/"msg":"heartbeat sent"|Kernel panic.*/, timing)
      expect(found).not.toContain('panic')
      const target = { url: node?.agentUrl ?? '', token: node?.token ?? '' }
      return createAgentClient(
        { ...target, verifyCa: node?.agentVerifyCa ?? null },
        {
          timeoutMs: 60_000,
          attempts: 3,
          retryDelayMs: 1000,
          sendTokenOnGet: true,
          minTlsVersion: 'TLSv1.2',
          onCall: () => {},
        },
      )
    }

    /** Has the agent run a clean step to its end; what it answers. */
    async function clean(client: AgentClient, step: string): Promise<unknown> {
      const node = {
        uuid: machine.uuid,
        driver_internal_info: { agent_erase_devices_iterations: 0, disk_erasure_concurrency: 4 },
        // five GiB would take minutes
        properties: { skip_block_devices: [{ serial: machine.name }] },
      }
      const params = { step: { step, interface: 'deploy', priority: 10 }, node, ports: [] }
      await client.command('clean.execute_clean_step', params, false)
      const deadline = performance.now() + BOOT_TIMEOUT_MS
      while (performance.now() < deadline) {
        // a machine without KVM may be too busy erasing to answer in time
        const last = (await client.list().catch(() => [])).at(-1)
        if (last !== undefined && last.command_status !== 'RUNNING') {
          expect(last).toMatchObject({ command_status: 'SUCCEEDED', command_error: null })
          return last.command_result?.['clean_result']
        }
        await delay(3000)
      }
      throw new Error(`${step} has not ended after ${BOOT_TIMEOUT_MS / 1000} s`)
    }

    test('the arrays are real: libblkid knows the metadata of md, of Intel and of DDF', async () => {
      const signatures = await Promise.all(['whole-1', 'imsm-2', 'ddf-1'].map(signatureOf))
      expect(signatures).toEqual(['linux_raid_member', 'isw_raid_member', 'ddf_raid_member'])
    })

    test('erases the plain disk alone, and says of each other one why it was left', async () => {
      const client = await boot()
      expect(await clean(client, 'erase_devices_metadata')).toBeNull()
      expect(await digests(before.keys())).toEqual(before)
      const metadataErased = await readFile(pathOf(PLAIN))
      expect(isZero(metadataErased.subarray(0, 16 * MiB))).toBe(true)
      expect(metadataErased.includes(MARK.text)).toBe(true)

      const results = Object.values((await clean(client, 'erase_devices')) as object) as string[]
      await machine.powerOff()
      expect(await digests(before.keys())).toEqual(before)
      expect(isZero(await readFile(pathOf(PLAIN)))).toBe(true)
      const kinds = [/^overwritten/, /by its signature/, /paths of one LUN/, /skip_block_devices/]
      expect(kinds.map((kind) => results.filter((words) => kind.test(words)).length)).toEqual([
        1,
        MEMBERS.length,
        2,
        1,
      ])
    })

    test('erases old members where erase_raid_members says so, a LUN not even then', async () => {
      const client = await boot('ipa-erase-raid-members=1')
      expect(await clean(client, 'erase_devices_metadata')).toBeNull()
      await machine.powerOff()
      expect(await Promise.all(MEMBERS.map(signatureOf))).toEqual(MEMBERS.map(() => ''))
      const after = await digests(before.keys())
      expect(after.get(LUN)).toBe(before.get(LUN))
      expect(MEMBERS.filter((serial) => after.get(serial) === before.get(serial))).toEqual([])
    })
  },
)
