import { describe, expect, test } from 'vitest'
import {
  eraseNvmeSecurely,
  parseNvmeAbilities,
} from '../../../../../agent/hardware/generic/erase/nvme.ts'
import { createLogger } from '../../../../../agent/telemetry/logger.ts'
import { machineWith } from '../../machine-fixture.ts'

/**
 * Fields of `nvme id-ctrl` as drives gave them, in nvme-cli's JSON: a Micron 9200 (nvme-cli's text is in
 * thomas-krenn/TKperf#25), a Kingston NV2 (FOGProject/fos#72).
 */
const MICRON_9200 = { vid: 0x1344, mn: 'Micron_9200_MTFDHAL1T6TCU', oacs: 0xe, nn: 1, fna: 0 }
const KINGSTON_NV2 = { vid: 0x2646, mn: 'KINGSTON SNV2S250G', oacs: 0x17, nn: 1, fna: 0 }

const PATH = '/dev/nvme7n1'
const log = createLogger({ level: 'silent' })
const method = 'auto'
const signal = new AbortController().signal

/** A machine with this controller; `names` are its block devices. */
async function machineOf(controller: unknown, names: readonly string[] = ['nvme7n1', 'nvme8n1']) {
  const files = Object.fromEntries(names.map((name) => [`/sys/class/block/${name}/size`, '8']))
  const idCtrl = typeof controller === 'string' ? controller : JSON.stringify(controller)
  return await machineWith(files, { 'nvme id-ctrl': idCtrl, 'nvme format': 'Success formatting' })
}

describe('the abilities of an NVMe controller', () => {
  test.each([
    ['Micron 9200', MICRON_9200, true, false, false],
    ['Kingston NV2', KINGSTON_NV2, true, false, false],
    ['one without Format NVM', { oacs: 0x5, fna: 0 }, false, false, false],
    ['one that encrypts', { oacs: 0x2, fna: 0x4 }, true, true, false],
    ['one whose format takes all namespaces', { oacs: 0x2, fna: 0x1 }, true, false, true],
    ['one whose erase takes all namespaces', { oacs: 0x2, fna: 0x6 }, true, true, true],
  ])('are read of %s', (_name, controller, canFormat, canCryptoErase, erasesAllNamespaces) => {
    const abilities = parseNvmeAbilities(JSON.stringify(controller))
    expect(abilities).toMatchObject({ canFormat, canCryptoErase, erasesAllNamespaces })
  })

  test.each(['', 'NVME Identify Controller:', '{}', '[1]', '{"oacs":"0xe","fna":0}'])(
    'are not guessed from %j',
    (text) => {
      expect(() => parseNvmeAbilities(text)).toThrow('no numbers')
    },
  )
})

describe('a secure erase of an NVMe namespace', () => {
  test('erases the cells of a drive that does not encrypt', async () => {
    await using machine = await machineOf(MICRON_9200)
    expect(await eraseNvmeSecurely(PATH, { ...machine, log, signal, method })).toEqual({
      how: 'nvme user data erase',
      promisesZeros: false,
    })
    expect(machine.ran).toContain(`nvme format ${PATH} -s 1 -f -t 86400000`)
  })

  test('throws the key away where the drive encrypts', async () => {
    await using machine = await machineOf({ oacs: 0x1f, fna: 0x4 })
    const erasure = await eraseNvmeSecurely(PATH, { ...machine, log, signal, method })
    expect(erasure?.how).toContain('cryptographic')
    expect(machine.ran).toContain(`nvme format ${PATH} -s 2 -f -t 86400000`)
  })

  test.each([
    ['the controller cannot format', { oacs: 0x5, fna: 0 }, ['nvme7n1']],
    ['it would take a sister namespace along', { oacs: 2, fna: 2 }, ['nvme7n1', 'nvme7n2']],
  ])('is not tried where %s', async (_case, controller, names) => {
    await using machine = await machineOf(controller, names)
    expect(await eraseNvmeSecurely(PATH, { ...machine, log, signal, method })).toBeUndefined()
    expect(machine.ran.filter((line) => line.startsWith('nvme format'))).toEqual([])
  })

  const place = (name: string, subsystem: string, wwid?: string) => ({
    [`/sys/class/block/${name}/device/subsysnqn`]: subsystem,
    ...(wwid === undefined ? {} : { [`/sys/class/block/${name}/wwid`]: wwid }),
  })
  const OWN = place('nvme7n1', 'nqn.drive', 'eui.1')

  test.each<[string, boolean, Record<string, string>]>([
    ['another namespace by another controller', false, place('nvme8n2', 'nqn.drive', 'eui.2')],
    ['one that has no name of its own there', false, place('nvme8n1', 'nqn.drive')],
    ['the same namespace by another controller', true, place('nvme8n1', 'nqn.drive', 'eui.1')],
    ['another drive', true, place('nvme8n1', 'nqn.other', 'eui.2')],
  ])('knows the whole subsystem: beside %s it is %s', async (_case, isDone, other) => {
    const idCtrl = JSON.stringify({ oacs: 2, fna: 2 })
    const answers = { 'nvme id-ctrl': idCtrl, 'nvme format': '' }
    await using machine = await machineWith({ ...OWN, ...other }, answers)
    const erasure = await eraseNvmeSecurely(PATH, { ...machine, log, signal, method })
    expect(erasure?.how).toBe(isDone ? 'nvme user data erase' : undefined)
  })

  test.each([
    [{ dlfeat: 1, fpi: 0 }, true],
    [{ dlfeat: 0x19, fpi: 0 }, true],
    [{ dlfeat: 2, fpi: 0 }, false],
    [{ dlfeat: 0 }, false],
    [{}, false],
  ])('promises zeros where the namespace says so: %j', async (namespace, promisesZeros) => {
    const idCtrl = JSON.stringify(MICRON_9200)
    const idNs = JSON.stringify(namespace)
    const answers = { 'nvme id-ctrl': idCtrl, 'nvme format': '', 'nvme id-ns': idNs }
    await using machine = await machineWith({}, answers)
    expect(await eraseNvmeSecurely(PATH, { ...machine, log, signal, method })).toMatchObject({
      promisesZeros,
    })
  })

  test.each([
    ['its own partitions', ['nvme7n1', 'nvme7n1p1']],
    ['a controller of a similar number', ['nvme7n1', 'nvme70n1']],
  ])('takes all namespaces where the only others are %s', async (_case, names) => {
    await using machine = await machineOf({ oacs: 2, fna: 3 }, names)
    expect(await eraseNvmeSecurely(PATH, { ...machine, log, signal, method })).toEqual({
      how: 'nvme user data erase',
      promisesZeros: false,
    })
  })

  test('fails where nvme-cli fails, with its reason', async () => {
    await using machine = await machineWith({}, { 'nvme id-ctrl': JSON.stringify(MICRON_9200) })
    await expect(
      eraseNvmeSecurely(PATH, { ...machine, log, signal, method }),
    ).rejects.toMatchObject({
      type: 'BlockDeviceEraseError',
      details: expect.stringContaining(`${PATH} by nvme-cli failed`),
    })
  })
})
