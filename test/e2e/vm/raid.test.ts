// Cleaning a machine with arrays that mdadm and the kernel made: members stay members, and keep every byte where nothing
// has started their array or it is named to be kept; what is on an array that is a disk like any other goes.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AgentClient } from '../../support/fake-ironic/agent-client.ts'
import { ARRAYS_MADE, hasArrayMaker, makeArrayRamdisk } from '../../support/vm/array-maker.ts'
import { SMALL_IMAGE } from '../../support/vm/ironic-lab.ts'
import { readSuperblock } from '../../support/vm/md-superblock.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { findRamdisk } from '../../support/vm/ramdisk.ts'
import { BOOT_TIMEOUT_MS, bootAgent, runStep } from './agent-steps.ts'
import { createVmLab, type VmLab } from './lab.ts'
import { canBootMachines } from './requirements.ts'

const run = promisify(execFile)
const MiB = 1024 * 1024
const DISK_BYTES = 64 * MiB
/** Behind what erasing metadata zeroes. */
const MARK = { text: 'data of the last tenant', offset: 40 * MiB } as const
const FOLDER = join(import.meta.dirname, '../../../build/test-vm/raid')
const DISKS = `${FOLDER}-disks`

/** Two disks of each kind; `partitioned` ones hold a GPT with one partition, which is the member. */
const MEMBERS = ['whole', 'parted', 'imsm', 'ddf'].flatMap((kind) => [`${kind}-1`, `${kind}-2`])
/** The ramdisk starts arrays of md's own metadata; one of them is named to be kept. */
const STARTED = ['parted-1', 'parted-2']
const KEPT = [{ volume_name: 'data' }]
const LUN = 'lun'
const PLAIN = 'plain'
const UNTOUCHED = [...MEMBERS.filter((serial) => !STARTED.includes(serial)), LUN]
/** Paths that are joined are in multipath.test.ts. */
const UNJOINED = 'multipath=off'
/** As sgdisk makes it below. */
const PARTITION = { offset: MiB, length: 48 * MiB }

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
const superblockOf = (serial: string) => readSuperblock(pathOf(serial), PARTITION)
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
    const untouched = () => new Map(UNTOUCHED.map((serial) => [serial, before.get(serial)]))

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

    /** Has the agent run a clean step to its end; what it answers. */
    async function clean(client: AgentClient, step: string, kept: object[]): Promise<unknown> {
      const node = {
        uuid: machine.uuid,
        driver_internal_info: { agent_erase_devices_iterations: 0, disk_erasure_concurrency: 4 },
        // five GiB would take minutes
        properties: { skip_block_devices: [{ serial: machine.name }, ...kept] },
      }
      const result = await runStep(client, { kind: 'clean', step, interface: 'deploy', node })
      expect(result).toMatchObject({ command_status: 'SUCCEEDED', command_error: null })
      return result.command_result?.['clean_result']
    }

    test('the arrays are real: libblkid knows the metadata of md, of Intel and of DDF', async () => {
      const signatures = await Promise.all(['whole-1', 'imsm-2', 'ddf-1'].map(signatureOf))
      expect(signatures).toEqual(['linux_raid_member', 'isw_raid_member', 'ddf_raid_member'])
    })

    test('erases the plain disk and what is on an array, and says of each other one why it was left', async () => {
      const arrays = await Promise.all(STARTED.map(superblockOf))
      const client = await bootAgent(lab, machine, UNJOINED)
      expect(await clean(client, 'erase_devices_metadata', KEPT)).toBeNull()
      expect(await digests(UNTOUCHED)).toEqual(untouched())
      const metadataErased = await readFile(pathOf(PLAIN))
      expect(isZero(metadataErased.subarray(0, 16 * MiB))).toBe(true)
      expect(metadataErased.includes(MARK.text)).toBe(true)

      const results = Object.values(
        (await clean(client, 'erase_devices', KEPT)) as object,
      ) as string[]
      await machine.powerOff()
      expect(await digests(UNTOUCHED)).toEqual(untouched())
      expect(isZero(await readFile(pathOf(PLAIN)))).toBe(true)
      const kinds = [/^overwritten/, /is a member of the RAID array md\d+$/, /by its signature/]
      const others = [/paths of one LUN/, /skip_block_devices excludes/, /its RAID volume data/]
      const count = (kind: RegExp) => results.filter((words) => kind.test(words)).length
      expect([...kinds, ...others].map(count)).toEqual([2, 2, 4, 2, 1, 3])

      expect(await Promise.all(STARTED.map(superblockOf))).toEqual(arrays)
      for (const serial of STARTED) {
        const { offset } = PARTITION
        const content = (await readFile(pathOf(serial))).subarray(offset, offset + 40 * MiB)
        expect(isZero(content)).toBe(true)
      }
    })

    test('erases old members where erase_raid_members says so, a LUN not even then', async () => {
      const client = await bootAgent(lab, machine, `ipa-erase-raid-members=1 ${UNJOINED}`)
      expect(await clean(client, 'erase_devices_metadata', [])).toBeNull()
      await machine.powerOff()
      expect(await Promise.all(MEMBERS.map(signatureOf))).toEqual(MEMBERS.map(() => ''))
      const after = await digests(before.keys())
      expect(after.get(LUN)).toBe(before.get(LUN))
      expect(MEMBERS.filter((serial) => after.get(serial) === before.get(serial))).toEqual([])
    })
  },
)
