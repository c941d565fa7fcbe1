// What mstflint and mstconfig answer is written after their manuals and sources (4.21): no such card was ever met here.
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createMellanoxManager } from '../../../../agent/hardware/vendors/mellanox.ts'
import { parseConfigurations } from '../../../../agent/hardware/vendors/nvidia/firmware-settings.ts'
import type { Exec } from '../../../../agent/system/exec.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'
import { defaultConfig } from '../../../support/config.ts'
import { createHttpOrigin } from '../../../support/http-origin.ts'
import { machineWith } from '../machine-fixture.ts'
import { callWith } from '../manager-fixture.ts'

const PSID = 'MT_0000000008'
const FIRMWARE = Buffer.alloc(70_000, 'firmware of ConnectX-5')
const SHA256 = createHash('sha256').update(FIRMWARE).digest('hex')

function queried(version: string, running?: string, psid = PSID): string {
  return [
    'Image type:            FS4',
    `FW Version:            ${version}`,
    ...(running ? [`FW Version(Running):   ${running}`] : []),
    'FW Release Date:       9.11.2021',
    'Product Version:       16.35.2000',
    'Rom Info:              type=UEFI version=14.28.15 cpu=AMD64',
    '                       type=PXE version=3.6.700 cpu=AMD64',
    'Base GUID:             b8599f0300a1b2c3        4',
    `PSID:                  ${psid}`,
    '',
  ].join('\n')
}

function configured(values: Readonly<Record<string, string>>): string {
  const rows = Object.entries(values).map(([name, value]) => `         ${name.padEnd(36)}${value}`)
  return [
    ...[
      '',
      'Device #1:',
      '----------',
      '',
      'Device type:    ConnectX5',
      'Device:         0000:03:00.0',
      '',
    ],
    'Configurations:                              Next Boot',
    ...rows,
    '',
  ].join('\n')
}

const PCI = '/sys/bus/pci/devices'
const device = (address: string, id = '0x1017', kind = '0x020000') => ({
  [`${PCI}/${address}/vendor`]: '0x15b3\n',
  [`${PCI}/${address}/device`]: `${id}\n`,
  [`${PCI}/${address}/class`]: `${kind}\n`,
})
const CARDS = {
  ...device('0000:03:00.0'),
  ...device('0000:03:00.1'),
  ...device('0000:82:00.0', '0x101b', '0x020700'),
  // a card's own bridge is no NIC
  ...device('0000:02:00.0', '0x1976', '0x060400'),
}

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-nvidia-'))
  await writeFile(join(folder, 'fw.bin'), FIRMWARE)
})
afterEach(() => rm(folder, { recursive: true, force: true }))

interface Answers {
  /** Of a card before and after it was written. */
  readonly card?: readonly [string, string]
  readonly file?: string
  /** Of mstconfig before and after it has set something. */
  readonly settings?: readonly [string, string]
}

async function run(step: string, args: object, answers: Answers = {}) {
  await using machine = await machineWith(CARDS)
  const lines: string[] = []
  const { card = [queried('16.31.1014'), queried('16.35.2000')] } = answers
  const { settings = ['', ''], file = queried('16.35.2000') } = answers
  const exec: Exec = async (argv) => {
    const line = argv.join(' ').replace(/-i \S+/, '-i FILE')
    lines.push(line)
    const isChanged = lines.some((one) => / burn$| set /.test(one))
    const stdout = line.startsWith('mstconfig')
      ? settings[isChanged ? 1 : 0]
      : card[isChanged ? 1 : 0]
    // the other card is another kind
    if (line.includes('0000:82'))
      return { stdout: queried('20.1.1', undefined, 'MT_9'), stderr: '', exitCode: 0 }
    return { stdout: line.includes('-i FILE -qq') ? file : stdout, stderr: '', exitCode: 0 }
  }
  const config = { ...defaultConfig(), run_dir: folder }
  const log = createLogger({ level: 'silent' })
  const manager = createMellanoxManager({ ...machine, exec, config, log })
  const found = manager.steps.find(
    ({ announce }) => announce.step === `update_nvidia_nic_firmware_${step}`,
  )
  const outcome = await found
    ?.run(callWith(args as Record<string, unknown>))
    .catch((error) => error)
  return {
    outcome: outcome as object,
    changed: lines.filter((line) => / burn$| set | reset$/.test(line)),
    lines,
  }
}

const image = (more: object = {}) => ({
  ...{ url: pathToFileURL(join(folder, 'fw.bin')).href, checksum: SHA256, checksumType: 'sha256' },
  ...{ componentFlavor: PSID, version: '16.35.2000', ...more },
})

describe('firmware of Nvidia NICs', () => {
  test('is written once to each card it is for, and asked for afterwards', async () => {
    const { outcome, changed } = await run('image', { images: [image()] })
    expect(outcome).toEqual({
      '0000:03:00': '16.35.2000 instead of 16.31.1014, from the next reset on',
    })
    expect(changed).toEqual(['mstflint -d 0000:03:00.0 -i FILE -y burn'])
    expect(await readdir(folder)).toEqual(['fw.bin'])
  })

  test('comes from a server', async () => {
    await using origin = await createHttpOrigin({ path: join(folder, 'fw.bin') })
    const { outcome } = await run('image', { images: [image({ url: origin.url })] })
    expect(Object.keys(outcome)).toEqual(['0000:03:00'])
  })

  test('is not written to a card that has it', async () => {
    const same = queried('16.35.2000')
    const { outcome, changed } = await run('image', { images: [image()] }, { card: [same, same] })
    expect([outcome, changed]).toEqual([{ '0000:03:00': 'has 16.35.2000' }, []])
  })

  test('is written after a reset where an earlier update is not in force yet', async () => {
    const card = [queried('16.33.1048', '16.31.1014'), queried('16.35.2000', '16.33.1048')] as const
    const { changed } = await run('image', { images: [image()] }, { card })
    expect(changed).toEqual([
      'mstfwreset -d 0000:03:00.0 -y --sync 1 reset',
      'mstflint -d 0000:03:00.0 -i FILE -y burn',
    ])
  })

  test('of no card here is not even fetched', async () => {
    const other = image({ componentFlavor: 'MT_7', url: 'http://127.0.0.1:9/none' })
    const { outcome, changed } = await run('image', { images: [other] })
    expect([outcome, changed]).toEqual([{}, []])
  })

  test.each([
    ['with another sum', { checksum: '0'.repeat(64) }, {}, 'ImageChecksumError'],
    [
      'for another kind of card',
      {},
      { file: queried('16.35.2000', undefined, 'MT_1') },
      'InvalidImage',
    ],
    ['of another version', {}, { file: queried('16.1.1') }, 'InvalidImage'],
    ['with an MD5 sum', { checksumType: 'md5' }, {}, 'InvalidCommandParamsError'],
    ['by ftp', { url: 'ftp://server/fw.bin' }, {}, 'InvalidCommandParamsError'],
    ['without a version', { version: '' }, {}, 'InvalidCommandParamsError'],
  ])('%s is refused before a card is written', async (_case, more, answers, type) => {
    const { outcome, changed } = await run('image', { images: [image(more)] }, answers)
    expect([outcome, changed]).toMatchObject([{ type }, []])
  })

  test('two for one kind of card are refused', async () => {
    const { outcome } = await run('image', { images: [image(), image()] })
    expect(outcome).toMatchObject({
      details: expect.stringContaining(`two of componentFlavor ${PSID}`),
    })
  })

  test('that the card does not have afterwards fails the step', async () => {
    const old = queried('16.31.1014')
    const { outcome } = await run('image', { images: [image()] }, { card: [old, old] })
    expect(outcome).toMatchObject({
      details: expect.stringContaining('says it has firmware 16.31.1014'),
    })
  })
})

describe('settings of Nvidia NICs', () => {
  const before = {
    NUM_OF_VFS: '8',
    SRIOV_EN: 'False(0)',
    LINK_TYPE_P1: 'ETH(2)',
    UCTX_EN: 'Array[0..7]',
  }
  const set = (more: object, after: object) =>
    run(
      'settings',
      { settings: [{ deviceID: '1017', ...more }] },
      { settings: [configured(before), configured({ ...before, ...after })] },
    )

  test('are set where they differ: for the card by its first function, for each function', async () => {
    const wanted = {
      globalConfig: { NUM_OF_VFS: 127, LINK_TYPE_P1: 'ETH', SRIOV_EN: true },
      function1Config: { NUM_OF_VFS: '0x8' },
    }
    const { outcome, changed } = await set(wanted, { NUM_OF_VFS: '127', SRIOV_EN: 'True(1)' })
    expect(outcome).toEqual({
      '0000:03:00.0': 'NUM_OF_VFS=127 SRIOV_EN=True',
      '0000:03:00.1': 'has them all',
    })
    expect(changed).toEqual(['mstconfig -d 0000:03:00.0 -y set NUM_OF_VFS=127 SRIOV_EN=True'])
  })

  test('of a list are set each time, for no answer says what is in it', async () => {
    const { changed } = await set({ function0Config: { 'UCTX_EN[0..3]': 1 } }, {})
    expect(changed).toEqual(['mstconfig -d 0000:03:00.0 -y set UCTX_EN[0..3]=1'])
  })

  test.each([
    ['that the firmware does not have', { NO_SUCH: 1 }, /has no setting NO_SUCH/],
    ['with a name that is none', { '-d': 1 }, /is no setting/],
    ['with a value that is none', { NUM_OF_VFS: { a: 1 } }, /its value is none/],
  ])('%s are refused before any is set', async (_case, globalConfig, details) => {
    const { outcome, changed } = await set({ globalConfig }, {})
    expect([outcome, changed]).toMatchObject([{ details: expect.stringMatching(details) }, []])
  })

  test('that are not there afterwards fail the step', async () => {
    const { outcome } = await set({ globalConfig: { NUM_OF_VFS: 127 } }, {})
    expect(outcome).toMatchObject({ details: expect.stringContaining('NUM_OF_VFS is 8 after') })
  })

  test('are read from the column of the next boot where there are several', () => {
    const text =
      'Configurations:    Default   Current   Next Boot\n*   NUM_OF_VFS    8    8    127\n'
    expect(parseConfigurations(text)).toEqual(new Map([['NUM_OF_VFS', '127']]))
  })
})
