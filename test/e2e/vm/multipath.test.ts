// A LUN by two controllers on one file: the shipped ramdisk joins them, and the agent erases and writes it as one disk. What
// lies on it is read from the file on this machine.
import { execFile } from 'node:child_process'
import { mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AgentClient } from '../../support/fake-ironic/agent-client.ts'
import { SMALL_IMAGE } from '../../support/vm/ironic-lab.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { findRamdisk } from '../../support/vm/ramdisk.ts'
import { BOOT_TIMEOUT_MS, bootAgent, imageInfoOf, runStep } from './agent-steps.ts'
import { createVmLab, type VmLab } from './lab.ts'
import { canBootMachines } from './requirements.ts'

const run = promisify(execFile)
const MiB = 1024 * 1024
const LUN_BYTES = 128 * MiB
const FOLDER = join(import.meta.dirname, '../../../build/test-vm/multipath')
const LUN = `${FOLDER}-lun`
/** As the laboratory gives the first of its disks. */
const WWN = '0x5000c50000000000'
const MARK = 'data of the last tenant'

describe.skipIf(!canBootMachines())('a LUN by two paths', { timeout: 2 * BOOT_TIMEOUT_MS }, () => {
  let lab: VmLab
  let machine: QemuMachine
  let client: AgentClient

  beforeAll(async () => {
    await rm(LUN, { force: true })
    await mkdir(join(FOLDER, '..'), { recursive: true })
    await using disk = await open(LUN, 'w')
    await disk.truncate(LUN_BYTES)
    for (const offset of [1, 60, 127]) await disk.write(MARK, offset * MiB)
    // the kernel shows its partition on both paths
    await run('sgdisk', ['--new=1:2048:+48M', LUN])
    const setting = { nodes: 1, boot: 'direct', firmware: 'bios', isSwarm: false } as const
    const moreDisks = [{ path: LUN, serial: 'lun', isLun: true }]
    const size = { image: SMALL_IMAGE, memoryMib: 512, moreDisks }
    const ramdisk = findRamdisk(process.env)
    lab = await createVmLab({ ...setting, ...size, ramdisk }, FOLDER, 'any')
    machine = lab.machines[0] as QemuMachine
    client = await bootAgent(lab, machine)
  }, 2 * BOOT_TIMEOUT_MS)

  afterAll(() => lab?.[Symbol.asyncDispose]())

  const nodeWith = (changes: Record<string, unknown> = {}) => ({
    uuid: machine.uuid,
    driver_internal_info: { agent_erase_devices_iterations: 0, disk_erasure_concurrency: 4 },
    // five GiB would take minutes
    properties: { skip_block_devices: [{ serial: machine.name }], ...changes },
  })

  test('is one disk in the inventory, with what its paths say of themselves', async () => {
    const { command_result } = await client.command('poll.get_hardware_info', {}, true)
    const disks = command_result?.['disks'] as Record<string, unknown>[]
    expect(disks.map(({ name }) => name).sort()).toEqual(['/dev/dm-0', '/dev/vda'])
    expect(disks.find(({ name }) => name === '/dev/dm-0')).toMatchObject({
      ...{ wwn: WWN, serial: 'lun', size: LUN_BYTES, vendor: 'QEMU' },
      by_path: expect.stringContaining('/by-path/'),
    })
  })

  test('stays where skip_block_devices names one of its paths', async () => {
    const skip_block_devices = [{ serial: machine.name }, { name: '/dev/sdb' }]
    const result = await runStep(client, {
      ...{ kind: 'clean', step: 'erase_devices', interface: 'deploy' },
      node: nodeWith({ skip_block_devices }),
    })
    expect(result).toMatchObject({ command_error: null })
    const lines = result.command_result?.['clean_result'] as Record<string, string>
    expect(lines['/dev/dm-0']).toBe('left alone: skip_block_devices excludes it')
    expect((await readFile(LUN)).includes(MARK)).toBe(true)
  })

  test('is erased once, from end to end', async () => {
    const result = await runStep(client, {
      ...{ kind: 'clean', step: 'erase_devices', interface: 'deploy', node: nodeWith() },
    })
    expect(result).toMatchObject({ command_error: null })
    const lines = result.command_result?.['clean_result'] as Record<string, string>
    expect(Object.keys(lines).sort()).toEqual(['/dev/dm-0', '/dev/vda'])
    expect(lines['/dev/dm-0']).toMatch(/^overwritten/)
    expect((await readFile(LUN)).equals(Buffer.alloc(LUN_BYTES))).toBe(true)
  })

  test('gets the image that a hint for it asks for', async () => {
    const { image } = lab.source
    const image_info = imageInfoOf(lab)
    const written = await runStep(client, {
      ...{ kind: 'deploy', step: 'write_image', interface: 'deploy', args: { image_info } },
      node: nodeWith({ root_device: { wwn: WWN } }),
    })
    expect(written).toMatchObject({ command_error: null })
    await client.command('standby.sync', {}, true)
    await machine.powerOff()
    // the backup table moves to the end of the LUN
    const [source, target] = [await readFile(SMALL_IMAGE), await readFile(LUN)]
    const body = (bytes: Buffer) => bytes.subarray(MiB, image.sizeBytes - MiB)
    expect(body(target).equals(body(source))).toBe(true)
    expect((await run('sgdisk', ['--verify', LUN])).stdout).toContain('No problems found')
  })
})
