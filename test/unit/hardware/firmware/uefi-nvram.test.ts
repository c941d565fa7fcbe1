import { describe, expect, test } from 'vitest'
import { createNvramSteps } from '../../../../agent/hardware/firmware/uefi-nvram.ts'
import type { StepImplementation } from '../../../../agent/hardware/manager.ts'
import type { Exec } from '../../../../agent/system/exec.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'
import { machineWith } from '../machine-fixture.ts'
import { callWith } from '../manager-fixture.ts'

const log = createLogger({ level: 'silent' })
const UEFI = { '/sys/firmware/efi/fw_platform_size': '64' }

/** As efibootmgr 17 lists them: a disk's, a netboot's, firmware's own, Windows's with its optional data. */
const ENTRIES: Readonly<Record<string, string>> = {
  '0000': 'UiApp\tFvVol(7cb8bdc9)/FvFile(462caa21)',
  '0001': 'debian\tHD(1,GPT,6e1b,0x800,0x100000)/File(\\EFI\\debian\\shimx64.efi)',
  '0004': 'PXE IPv4\tPciRoot(0x0)/Pci(0x3,0x0)/MAC(525400123456,1)/IPv4(0.0.0.0)',
  '000A':
    'Windows Boot Manager\tHD(2,GPT,7f2c)/File(\\EFI\\Microsoft\\Boot\\bootmgfw.efi)WINDOWS.....x',
  '000B': 'shell\tVenHw(99e2)/File(\\grub\\GRUBX64.EFI)',
}

/** Firmware that keeps what `stays` names, whatever it is told. */
function firmware({ stays = [] as readonly string[], control = 'real' as 'real' | 'log' } = {}) {
  const entries = new Map(Object.entries(ENTRIES))
  const ran: string[] = []
  const exec: Exec = async (argv) => {
    ran.push(argv.join(' '))
    const [, flag, number = '', deletes] = argv
    if (flag === '-b' && deletes === '-B' && !stays.includes(number)) entries.delete(number)
    const lines = [...entries].map(([each, text]) => `Boot${each}* ${text}`)
    return { stdout: ['BootCurrent: 0004', ...lines, ''].join('\n'), stderr: '', exitCode: 0 }
  }
  return { exec, ran, entries, config: { machine_control: control } as const }
}

type Firmware = ReturnType<typeof firmware>

async function clean(of: Firmware, args: object = {}, files: Record<string, string> = UEFI) {
  await using machine = await machineWith(files)
  const [step] = createNvramSteps({ ...of, root: machine.root, log }) as [StepImplementation]
  return await step.run(callWith({ ...args }))
}

describe('clean_uefi_nvram', () => {
  test('deletes the entries of disks, shim and GRUB, and names what went and what stays', async () => {
    const it = firmware()
    expect(await clean(it)).toEqual({
      deleted: ['0001 debian', '000A Windows Boot Manager', '000B shell'],
      kept: ['0000 UiApp', '0004 PXE IPv4'],
    })
    expect([...it.entries.keys()]).toEqual(['0000', '0004'])
  })

  test.each<[string, readonly string[], readonly string[]]>([
    ['a part of the path, in any case', ['MICROSOFT'], ['000A']],
    ['several', ['mac\\(', '^FvVol'], ['0000', '0004']],
    ['all but one partition', ['^HD\\((?!.*6e1b)'], ['000A']],
    ['nothing', [], []],
    ['what is in no path', ['debian label', 'UiApp'], []],
  ])('deletes what patterns for %s say', async (_case, match_patterns, gone) => {
    const it = firmware()
    await clean(it, { match_patterns })
    expect(Object.keys(ENTRIES).filter((number) => !it.entries.has(number))).toEqual(gone)
  })

  test.each([
    ['no list', '^HD', /must be a list of strings/],
    ['a number in it', [1], /must be a list of strings/],
    [
      'a pattern that is none',
      ['^HD\\(', '('],
      /pattern "\(" of match_patterns: a \( is not closed/,
    ],
    ['one with a condition', ['(a)(?(1)b)'], /has no meaning here at position 5/],
    ['101 of them', Array(101).fill('a'), /has 101 patterns; at most 100/],
    ['a long one', ['a'.repeat(1001)], /has 1001 characters; at most 1000/],
  ])('refuses %s before anything is deleted', async (_case, match_patterns, details) => {
    const it = firmware()
    await expect(clean(it, { match_patterns })).rejects.toMatchObject({
      type: 'InvalidCommandParamsError',
      details: expect.stringMatching(details),
    })
    expect(it.ran).toEqual([])
  })

  test('gives up a pattern that takes for ever, deletes nothing, and names the one', async () => {
    const it = firmware()
    it.entries.set('0001', `long\t${'a'.repeat(200)}!`)
    await expect(clean(it, { match_patterns: ['^HD\\(', '(a+)+$'] })).rejects.toMatchObject({
      type: 'InvalidCommandParamsError',
      details: expect.stringMatching(/^pattern 2 of 2 has not been through 5 texts after 10 s/),
    })
    expect(it.ran).toEqual(['efibootmgr -v'])
  })

  test('stops when the agent ends', async () => {
    const it = firmware()
    it.entries.set('0001', `long\t${'a'.repeat(200)}!`)
    await using machine = await machineWith(UEFI)
    const [step] = createNvramSteps({ ...it, root: machine.root, log }) as [StepImplementation]
    const call = callWith({ match_patterns: ['(a+)+$'] })
    const ending = new AbortController()
    const exec: Exec = async (argv, options) => {
      setTimeout(() => ending.abort(), 50)
      return await it.exec(argv, options)
    }
    const [hurried] = createNvramSteps({ ...it, exec, root: machine.root, log })
    const context = { ...call.context, signal: ending.signal }
    await expect(hurried?.run({ ...call, context })).rejects.toMatchObject({
      type: 'CancelledError',
    })
    expect(step.accepts).toEqual(['match_patterns'])
  })

  test('fails with the names of entries that the firmware keeps', async () => {
    await expect(clean(firmware({ stays: ['000A'] }))).rejects.toMatchObject({
      type: 'CleaningError',
      details: 'clean_uefi_nvram: 1 of 3 boot entries are still there: 000A Windows Boot Manager',
    })
  })

  test('has nothing to do on a machine that was booted by BIOS, but reads its patterns', async () => {
    const it = firmware()
    expect(await clean(it, {}, { '/proc/x': '' })).toMatch(/not booted by UEFI/)
    await expect(clean(it, { match_patterns: ['('] }, { '/proc/x': '' })).rejects.toThrow('closed')
    expect(it.ran).toEqual([])
  })

  test('says in a laboratory what it would delete', async () => {
    const it = firmware({ control: 'log' })
    expect(await clean(it)).toMatchObject({ kept: ['0000 UiApp', '0004 PXE IPv4'] })
    expect(it.ran).toEqual(['efibootmgr -v'])
  })
})
