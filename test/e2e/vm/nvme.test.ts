// A ramdisk that was built with hardware managers of somebody's own and with MSTFLINT=1, on a machine with an NVMe drive: steps
// of a manager, a disk that it hides, one that cannot be loaded, and the drive's own erasure, all by the agent's API. What lies
// on the disks is read from their files on this machine.
import { mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AgentClient } from '../../support/fake-ironic/agent-client.ts'
import { SMALL_IMAGE } from '../../support/vm/ironic-lab.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { findRamdisk, whyNoRamdisk } from '../../support/vm/ramdisk.ts'
import { BOOT_TIMEOUT_MS, bootAgent, runStep } from './agent-steps.ts'
import { createVmLab, type VmLab } from './lab.ts'
import { canBootMachines } from './requirements.ts'

const MiB = 1024 * 1024
const DRIVE_BYTES = 64 * MiB
const FOLDER = join(import.meta.dirname, '../../../build/test-vm/nvme')
const DRIVE = `${FOLDER}-drive`
const HIDDEN = `${FOLDER}-hidden`
/** In the ramdisk: a folder in that of the managers, which is no manager. */
const BROKEN = '/usr/lib/ironswarm/hardware-managers/broken'
const RAMDISK = findRamdisk({ VM_RAMDISK: join(FOLDER, '../../ironswarm-managers') })
const MARK = 'data of the last tenant'

interface Disk {
  readonly serial: string
}

function resultOf<T>(result: Record<string, unknown> | null): Record<string, T> {
  return result?.['clean_result'] as Record<string, T>
}

const canRun = canBootMachines() && whyNoRamdisk(RAMDISK) === undefined

describe.skipIf(!canRun)('a machine with an NVMe drive', { timeout: 2 * BOOT_TIMEOUT_MS }, () => {
  let lab: VmLab
  let machine: QemuMachine
  let client: AgentClient

  beforeAll(async () => {
    await mkdir(join(FOLDER, '..'), { recursive: true })
    for (const path of [DRIVE, HIDDEN]) {
      await rm(path, { force: true })
      await using drive = await open(path, 'w')
      await drive.truncate(DRIVE_BYTES)
      for (const offset of [0, 30, 63]) await drive.write(MARK, offset * MiB)
    }
    const setting = { nodes: 1, boot: 'direct', firmware: 'uefi', isSwarm: false } as const
    const moreDisks = [
      { path: DRIVE, serial: 'LAB', isLun: false, isNvme: true },
      { path: HIDDEN, serial: 'HIDDEN', isLun: false },
    ]
    const size = { image: SMALL_IMAGE, memoryMib: 512, moreDisks }
    lab = await createVmLab({ ...setting, ...size, ramdisk: RAMDISK }, FOLDER, 'any')
    machine = lab.machines[0] as QemuMachine
    client = await bootAgent(lab, machine)
  }, 2 * BOOT_TIMEOUT_MS)

  afterAll(() => lab?.[Symbol.asyncDispose]())

  const clean = (step: string, args: Record<string, unknown>) =>
    runStep(client, {
      ...{ kind: 'clean', step, interface: 'deploy', args },
      node: {
        uuid: machine.uuid,
        driver_internal_info: { agent_erase_devices_iterations: 0, disk_erasure_concurrency: 4 },
        // five GiB would take minutes
        properties: { skip_block_devices: [{ serial: machine.name }] },
      },
    })

  test("has the steps of the ramdisk's own hardware manager, which asks the drive", async () => {
    const { command_error, command_result } = await clean('ask_lab_drive', { path: '/dev/nvme0n1' })
    expect(command_error).toBeNull()
    expect(command_result?.['clean_result']).toMatchObject({
      serial: 'LAB',
      subsystem: expect.stringContaining('nqn.'),
      node: machine.uuid,
    })
    const { oacs, sanicap } = resultOf<number>(command_result)
    // QEMU's drive formats, and cannot sanitize
    expect([Number(oacs) & 2, sanicap ?? 0]).toEqual([2, 0])
  })

  test("shows no disk that the ramdisk's own hardware manager hides", async () => {
    const { command_result } = await client.command('poll.get_hardware_info', {}, true)
    const disks = command_result?.['disks'] as Disk[]
    expect(disks.map(({ serial }) => serial).sort()).toEqual(['LAB', machine.name])
  })

  test('has the programs that write firmware of Nvidia NICs, and where cards of i40e are told to be silent', async () => {
    const { command_error, command_result } = await clean('run_programs', {
      programs: [
        ['mstflint', '--version'],
        ['mstconfig', '--version'],
        ['findmnt', '--noheadings', '--output=FSTYPE', '/sys/kernel/debug'],
      ],
    })
    expect(command_error).toBeNull()
    expect(command_result?.['clean_result']).toEqual([
      expect.stringContaining('mstflint 4.'),
      expect.stringContaining('mstconfig, mstflint 4.'),
      'debugfs',
    ])
  })

  test('refuses to sanitize a drive that cannot, and leaves its content', async () => {
    const args = { nvme_erase_method: 'sanitize', verify: 'off' }
    const { command_error } = await clean('erase_devices', args)
    expect(command_error).toMatchObject({
      details: expect.stringContaining('the drive cannot sanitize, which was asked for'),
    })
    expect((await readFile(DRIVE)).includes(MARK)).toBe(true)
  })

  test('has the drive format itself, and every byte of it read as the zeros it promises', async () => {
    const { command_error, command_result } = await clean('erase_devices', { verify: 'full' })
    expect(command_error).toBeNull()
    const said = resultOf<string>(command_result)
    expect(said['/dev/nvme0n1']).toMatch(
      /^nvme user data erase.*; verified: all 64\.0 MiB read as zeros$/,
    )
    expect((await readFile(DRIVE)).every((byte) => byte === 0)).toBe(true)
    expect(said['/dev/vdb']).toBe('left alone: a hardware manager hides it')
    expect((await readFile(HIDDEN)).toString('latin1').split(MARK)).toHaveLength(4)
  })

  test('loses the boot entry of an earlier tenant, and no other, to clean_uefi_nvram', async () => {
    const left = await clean('leave_boot_entry', { path: '/dev/nvme0n1' })
    expect(left.command_error).toBeNull()
    const first = resultOf<string[]>((await clean('clean_uefi_nvram', {})).command_result)
    expect(first['deleted']).toEqual([expect.stringMatching(/^[0-9A-F]{4} old tenant$/)])
    const second = resultOf<string[]>((await clean('clean_uefi_nvram', {})).command_result)
    expect(second).toEqual({ deleted: [], kept: first['kept'] })
  })

  test('keeps what a crash has left in EFI variables until erase_pstore deletes it', async () => {
    const from = await machine.serial.end()
    const step = { interface: 'deploy', step: 'crash_machine', priority: 0, args: {} }
    const params = { step, node: { uuid: machine.uuid }, ports: [] }
    // nobody answers any more
    await client.command('clean.execute_clean_step', params, false).catch(() => undefined)
    await machine.serial.waitFor(/end Kernel panic/, { timeoutMs: BOOT_TIMEOUT_MS, from })
    client = await bootAgent(lab, machine, `ipa-hardware-managers=${BROKEN}`)
    const first = await clean('erase_pstore', {})
    expect([first.command_error, first.command_result?.['clean_result']]).toEqual([
      null,
      expect.stringMatching(/^[1-9]\d* /),
    ])
    const second = await clean('erase_pstore', {})
    expect(second.command_result?.['clean_result']).not.toMatch(/^[1-9]/)
  })

  test('goes without a hardware manager that cannot be loaded, says so, and erases nothing', async () => {
    const reason = expect.stringContaining('the maker left something out')
    expect(await client.status()).toMatchObject({
      left_out_hardware_managers: [{ manager: 'broken.ts', reason }],
    })
    const told = lab.ironic.apiCalls.filter(({ path }) => path.startsWith('/v1/heartbeat/'))
    expect(told.at(-1)?.body).toMatchObject({
      agent_status_message: expect.stringContaining('hardware managers left out: broken.ts'),
    })
    expect(await machine.serial.text()).toMatch(
      /the maker left something out.*"msg":"hardware manager left out"/,
    )
    const { command_error } = await clean('erase_devices', {})
    expect(command_error).toMatchObject({
      type: 'HardwareManagerConfigurationError',
      details: expect.stringContaining('broken.ts'),
    })
    await machine.powerOff()
  })
})
