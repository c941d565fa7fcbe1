import { describe, expect, test } from 'vitest'
import {
  eraseNvmeSecurely,
  type NvmeMethod,
} from '../../../../../agent/hardware/generic/erase/nvme.ts'
import { parseSanitizeLog } from '../../../../../agent/hardware/generic/erase/sanitize.ts'
import type { Exec } from '../../../../../agent/system/exec.ts'
import { createLogger } from '../../../../../agent/telemetry/logger.ts'
import { machineWith } from '../../machine-fixture.ts'

const PATH = '/dev/nvme7n1'
const log = createLogger({ level: 'silent' })
const signal = new AbortController().signal

/** Bytes 0 to 19 of log page 81h (NVM Express Base 2.0 figure 236), of the 512 that drives answer with. */
function logPage({
  sprog = 0xffff,
  sstat = 0x101,
  action = 2,
  estimates = [0, 0, 0],
} = {}): Buffer {
  const page = Buffer.alloc(512)
  page.writeUInt16LE(sprog, 0)
  page.writeUInt16LE(sstat, 2)
  page.writeUInt32LE(action, 4)
  for (const [i, seconds] of estimates.entries()) page.writeUInt32LE(seconds, 8 + 4 * i)
  return page
}

/** A drive that has these pages one after the other, the last for good. */
async function drive(
  idCtrl: object,
  pages: readonly Buffer[],
  { method = 'auto' as NvmeMethod, names = ['nvme7n1'] } = {},
) {
  const files = Object.fromEntries(names.map((name) => [`/sys/class/block/${name}/size`, '8']))
  await using machine = await machineWith(files)
  const left = [...pages]
  const ran: string[] = []
  const exec: Exec = async (argv, options) => {
    const line = argv.join(' ')
    ran.push(line)
    if (line.startsWith('nvme sanitize-log')) {
      const page = left.length > 1 ? left.shift() : left[0]
      options?.onStdout?.(page as Buffer)
      return { stdout: '', stderr: '', exitCode: 0 }
    }
    const stdout = line.startsWith('nvme id-ctrl') ? JSON.stringify(idCtrl) : ''
    return { stdout, stderr: '', exitCode: 0 }
  }
  const options = { exec, root: machine.root, log, signal, method }
  const outcome = await eraseNvmeSecurely(PATH, options).catch((error) => error)
  return { outcome, started: ran.filter((line) => line.startsWith('nvme sanitize /')), ran }
}

const CANNOT_FORMAT = { oacs: 0x5, fna: 0 }
const NEVER = logPage({ sprog: 0xffff, sstat: 0, action: 0 })
const RUNNING = logPage({ sprog: 0x4000, sstat: 2 })

describe('a sanitize of an NVMe drive', () => {
  test.each([
    ['a new key', 0x7, 4, 'cryptographic erase', []],
    ['its cells', 0x6, 2, 'block erase', []],
    ['an overwrite', 0x4, 3, 'overwrite', [' --owpass=1']],
  ])('is by %s where the drive can', async (_case, sanicap, action, words, flags) => {
    const pages = [NEVER, logPage({ sprog: 0x4000, sstat: 2, action }), logPage({ action })]
    const { outcome, started } = await drive({ ...CANNOT_FORMAT, sanicap }, pages)
    expect(outcome.how).toBe(
      `nvme sanitize, ${words}; the drive's log says: completed, all data erased`,
    )
    expect(started).toEqual([`nvme sanitize ${PATH} --sanact=${action}${flags.join('')}`])
  })

  test('is asked for by name of a drive that could format', async () => {
    const idCtrl = { oacs: 0x2, fna: 0, sanicap: 0x2 }
    const { outcome, ran } = await drive(idCtrl, [NEVER, logPage()], { method: 'sanitize' })
    expect(outcome.how).toMatch(/^nvme sanitize, block erase/)
    expect(ran.filter((line) => line.startsWith('nvme format'))).toEqual([])
  })

  test('that somebody else has begun is waited for, and then ours is begun', async () => {
    const pages = [RUNNING, RUNNING, logPage(), logPage({ sstat: 1 })]
    const { outcome, started } = await drive({ ...CANNOT_FORMAT, sanicap: 2 }, pages)
    expect(outcome.how).toBe("nvme sanitize, block erase; the drive's log says: completed")
    expect(started).toHaveLength(1)
  })

  test.each([
    ['failed', logPage({ sstat: 3 }), /log says failed of action 2/],
    ['never began', NEVER, /log says never of action 0/],
    ['did another', logPage({ action: 4 }), /log says done of action 4/],
    ['says what nobody knows', logPage({ sstat: 7 }), /log says unknown/],
    ['answers too little', Buffer.alloc(19), /gave 19 bytes/],
  ])('is a failure where the drive %s', async (_case, page, details) => {
    const { outcome } = await drive({ ...CANNOT_FORMAT, sanicap: 2 }, [NEVER, page])
    expect(outcome).toMatchObject({
      type: 'BlockDeviceEraseError',
      details: expect.stringMatching(details),
    })
  })

  test('is not done where it would take a sister namespace along', async () => {
    const names = ['nvme7n1', 'nvme7n2']
    const idCtrl = { ...CANNOT_FORMAT, sanicap: 2 }
    expect((await drive(idCtrl, [NEVER], { names })).outcome).toBeUndefined()
    const asked = await drive(idCtrl, [NEVER], { names, method: 'sanitize' })
    expect(asked.outcome).toMatchObject({ details: expect.stringContaining('every namespace') })
    expect(asked.started).toEqual([])
  })

  test.each<[NvmeMethod, object]>([
    ['sanitize', { oacs: 2, fna: 0 }],
    ['format', { ...CANNOT_FORMAT, sanicap: 2 }],
  ])(
    'or a format fails where %s is asked for by name and the drive cannot',
    async (method, idCtrl) => {
      const { outcome, started } = await drive(idCtrl, [NEVER], { method })
      expect(outcome).toMatchObject({
        type: 'BlockDeviceEraseError',
        details: expect.stringContaining(`the drive cannot ${method}, which was asked for`),
      })
      expect(started).toEqual([])
    },
  )

  test('tells its progress as the drive counts it', () => {
    expect(parseSanitizeLog(RUNNING)).toMatchObject({ state: 'running', progress: 0.25, action: 2 })
    expect(parseSanitizeLog(logPage({ sstat: 4 })).state).toBe('done')
  })
})
