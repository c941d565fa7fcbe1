import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Config, OPTIONS } from '../../../../../agent/config/options.ts'
import { AgentError } from '../../../../../agent/core/errors.ts'
import type { JsonObject } from '../../../../../agent/core/json.ts'
import { MiB } from '../../../../../agent/core/units.ts'
import { createEraseSteps } from '../../../../../agent/hardware/generic/erase/steps.ts'
import type { StepContext } from '../../../../../agent/hardware/manager.ts'
import type { Exec } from '../../../../../agent/system/exec.ts'
import { createRoot } from '../../../../../agent/system/root.ts'
import { showProgress } from '../../../../../agent/telemetry/console.ts'
import { createLogger } from '../../../../../agent/telemetry/logger.ts'
import { progressTo, recordedStream } from '../../../../support/event-lab.ts'
import { diskWith } from '../../disk-fixture.ts'
import { callWith } from '../../manager-fixture.ts'

const DISK_BYTES = 4 * MiB
const DEFAULTS = {
  guard_special_filesystems: OPTIONS.guard_special_filesystems.default,
  erase_verify: OPTIONS.erase_verify.default,
  nvme_erase_method: OPTIONS.nvme_erase_method.default,
  enable_discard_erase: OPTIONS.enable_discard_erase.default,
} as const

/** As conductor 21.4 sends them (contract 8.6). */
const CONDUCTOR = {
  agent_erase_devices_iterations: 1,
  agent_erase_devices_zeroize: true,
  agent_continue_if_secure_erase_failed: false,
  agent_continue_if_ata_erase_failed: false,
  agent_enable_nvme_secure_erase: true,
  agent_enable_ata_secure_erase: true,
  disk_erasure_concurrency: 4,
  agent_erase_skip_read_only: false,
}

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-erase-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

interface LabOptions {
  readonly disks?: readonly string[]
  /** What the one disk is called instead of its path. */
  readonly named?: string
  /** The operator excludes all of them. */
  readonly skipped?: boolean
  /** Runs instead of a command; undefined for one that is installed and says nothing. */
  readonly exec?: (line: string) => Promise<string> | undefined
  readonly options?: Partial<Config>
}

/** Regular files full of 0x5a for disks, and the steps that erase them. */
async function labWith(lab: LabOptions = {}) {
  const { disks = ['a'], named, skipped = false, exec, options } = lab
  const paths = disks.map((name) => join(folder, name))
  for (const path of paths) {
    await using file = await open(path, 'w')
    await file.write(Buffer.alloc(DISK_BYTES, 0x5a))
  }
  const run: Exec = async (argv) => {
    const stdout = (await exec?.(argv.join(' '))) ?? (argv[0] === 'smartctl' ? 'Unavailable' : '')
    return { stdout, stderr: '', exitCode: 0 }
  }
  const config = { ...DEFAULTS, ...options } as Config
  const steps = createEraseSteps({
    others: { ask: async () => undefined },
    config,
    exec: run,
    root: createRoot(folder),
    log: createLogger({ level: 'silent' }),
    listDisks: async () => {
      const leftAlone = skipped ? { reason: 'skipped', isWanted: true } : null
      return paths.map((path) =>
        diskWith({ name: named ?? path, sizeBytes: DISK_BYTES, leftAlone }),
      )
    },
  })
  const call = async (
    name: string,
    fields: JsonObject = {},
    context: Partial<StepContext> = {},
    args: JsonObject = {},
  ) => {
    const step = steps.find(({ announce }) => announce.step === name)
    if (!step) throw new Error(`no step ${name}`)
    const usual = callWith(args)
    const node = { driver_internal_info: { ...CONDUCTOR, ...fields } }
    return await step.run({ ...usual, node, context: { ...usual.context, ...context } })
  }
  return { paths, call, contentOf: (index: number) => readFile(paths[index] as string) }
}

const isZero = (bytes: Buffer) => bytes.every((byte) => byte === 0)

describe('erase_devices', () => {
  test('overwrites every byte and says so by disk', async () => {
    const lab = await labWith({ disks: ['a', 'b'] })
    const [a, b] = lab.paths as [string, string]
    const proof = 'verified: 64 markers are gone, 64 of their places read as zeros'
    const how = `overwritten: 1 × random, zeros; ${proof}`
    expect(await lab.call('erase_devices')).toEqual({ [a]: how, [b]: how })
    expect(isZero(await lab.contentOf(0))).toBe(true)
    expect(isZero(await lab.contentOf(1))).toBe(true)
  })

  test('ends with random bytes where Ironic wants no zeros', async () => {
    const lab = await labWith()
    await lab.call('erase_devices', { agent_erase_devices_zeroize: false })
    const bytes = await lab.contentOf(0)
    expect(new Set(bytes).size).toBe(256)
    expect(bytes.includes(Buffer.alloc(16, 0x5a))).toBe(false)
  })

  test('reports progress over all passes of all disks, up to the last byte', async () => {
    const lab = await labWith({ disks: ['a', 'b'] })
    const events = recordedStream()
    await lab.call('erase_devices', { agent_erase_devices_iterations: 2 }, { events })
    const news = events.progress()
    const total = 2 * 3 * DISK_BYTES
    expect(news[0]).toMatchObject({ step: 'erase', done: 0, total })
    expect(news.every(({ done }) => done <= total)).toBe(true)
  })

  test('shows its progress on a console that follows the stream of events', async () => {
    const lab = await labWith()
    const events = recordedStream()
    let shown = ''
    const stream = { write: (text: string) => (shown += text) }
    using _console = showProgress(events, { stream, isTty: true, now: () => 0 })
    await lab.call('erase_devices', {}, { events })
    expect(shown).toMatch(/^\rerasing disks 8\.0 MiB/)
    expect(events.snapshot()).toMatchObject({ stage: null, progress: { step: 'erase' } })
  })

  test('warns of a secure erase that failed, and overwrites instead where Ironic says so', async () => {
    const frozen = {
      'smartctl -d ata': 'ATA Security is:  Disabled, frozen [SEC2]',
      'hdparm -I': 'Security: \n\t\tsupported\n\tnot\tenabled\n\tnot\tlocked\n\t\tfrozen\n',
    }
    const lab = await labWith({
      exec: (line) => {
        const answer = Object.entries(frozen).find(([command]) => line.startsWith(command))
        return answer && Promise.resolve(answer[1])
      },
    })
    const events = recordedStream()
    const goOn = { agent_continue_if_secure_erase_failed: true }
    const [path = ''] = lab.paths
    expect(await lab.call('erase_devices', goOn, { events })).toEqual({
      [path]: expect.stringMatching(/^overwritten: 1 × random, zeros; verified/),
    })
    expect(events.snapshot().lastWarning).toMatchObject({
      message: 'secure erase failed, going on without it',
      fields: { device: path },
      error: { type: 'BlockDeviceEraseError' },
    })
  })

  test.each([
    ['full', /; verified: all 4\.0 MiB read as zeros$/],
    ['sample', /; verified: 64 markers are gone/],
    ['off', /; not verified: nobody asked for it$/],
  ])('proves itself as verify=%s says, by argument or option', async (verify, sentence) => {
    const lab = await labWith()
    const [path = ''] = lab.paths
    const byArgument = await lab.call('erase_devices', {}, {}, { verify })
    expect(byArgument).toEqual({ [path]: expect.stringMatching(sentence) })
    const other = await labWith({ options: { erase_verify: verify as Config['erase_verify'] } })
    expect(await other.call('erase_devices')).toEqual(byArgument)
  })

  describe('an ATA drive that has erased itself', () => {
    /** What lies on the drive afterwards. */
    async function erasedTo(byte: number, verify: string, enhanced = false) {
      const security = `Security:\n\tsupported\n\tnot enabled\n\tnot frozen\n${enhanced ? '\tsupported: enhanced erase\n' : ''}`
      const lab = await labWith({
        exec: (line) => {
          if (line.startsWith('smartctl')) return Promise.resolve('ATA Security is:  Disabled')
          if (line.startsWith('hdparm -I')) return Promise.resolve(security)
          if (!line.includes('--security-erase')) return undefined
          return writeFile(lab.paths[0] as string, Buffer.alloc(DISK_BYTES, byte)).then(() => '')
        },
      })
      const answer = (await lab.call('erase_devices', {}, {}, { verify })) as JsonObject
      return answer[lab.paths[0] as string]
    }

    test.each([
      ['sample', 'verified: 64 markers are gone, 64 of their places read as zeros'],
      ['full', 'verified: all 4.0 MiB read as zeros'],
      ['off', 'not verified: nobody asked for it'],
    ])('must read as the zeros that it promises, by %s', async (verify, sentence) => {
      expect(await erasedTo(0, verify)).toBe(`ata secure erase; ${sentence}`)
      if (verify === 'off') return
      await expect(erasedTo(0xff, verify)).rejects.toMatchObject({
        message: expect.stringContaining('does not read as zeros at byte 0'),
      })
    })

    test('may read as anything else where it promises none, and that is told', async () => {
      expect(await erasedTo(0xff, 'full', true)).toBe(
        'ata enhanced secure erase; the drive promises no zeros; verified: 4 markers are gone, 0 of their places read as zeros',
      )
    })
  })

  test('without a pass of zeros it is proved by the markers alone', async () => {
    const lab = await labWith()
    const noZeros = { agent_erase_devices_zeroize: false }
    expect(await lab.call('erase_devices', noZeros, {}, { verify: 'full' })).toEqual({
      [lab.paths[0] as string]:
        'overwritten: 1 × random; verified: 4 markers are gone, 0 of their places read as zeros',
    })
  })

  test.each([{ verify: 'much' }, { verify: 1 }, { nvme_erase_method: 'shred' }])(
    'refuses %j before anything is erased',
    async (args) => {
      const lab = await labWith()
      await expect(lab.call('erase_devices', {}, {}, args)).rejects.toMatchObject({
        type: 'InvalidCommandParamsError',
        details: expect.stringContaining('must be one of'),
      })
      expect((await lab.contentOf(0))[0]).toBe(0x5a)
    },
  )

  test('refuses settings by which nothing would be erased', async () => {
    const lab = await labWith()
    const nothing = { agent_erase_devices_iterations: 0, agent_erase_devices_zeroize: false }
    await expect(lab.call('erase_devices', nothing)).rejects.toMatchObject({
      type: 'InvalidCommandParamsError',
    })
    expect((await lab.contentOf(0))[0]).toBe(0x5a)
  })

  test('stops between two blocks when the agent stops', async () => {
    const lab = await labWith({ disks: ['a', 'b', 'c'] })
    const controller = new AbortController()
    const { signal } = controller
    const events = progressTo(({ done }) => {
      if (done > 0) controller.abort(new AgentError('CancelledError', 'the agent was stopped'))
    })
    const passes = { agent_erase_devices_iterations: 100, disk_erasure_concurrency: 1 }
    const erasing = lab.call('erase_devices', passes, { signal, events })
    await expect(erasing).rejects.toMatchObject({ type: 'CancelledError' })
    expect((await lab.contentOf(2))[0]).toBe(0x5a)
  })

  test('lets go of what the agent itself holds before it begins', async () => {
    const lab = await labWith()
    let wasWhole = false
    const releaseDisks = async () => {
      wasWhole = (await lab.contentOf(0))[0] === 0x5a
    }
    await lab.call('erase_devices', {}, { releaseDisks })
    expect(wasWhole).toBe(true)
  })
})

describe.each(['erase_devices', 'erase_devices_express', 'erase_devices_metadata'])(
  'a disk that is left alone by %s',
  (step) => {
    const member = (path: string) => (line: string) =>
      line.startsWith('blkid') && line.endsWith(path)
        ? Promise.resolve('isw_raid_member\n')
        : undefined

    test('keeps every byte while the others are erased; the result and a warning say why', async () => {
      const lab = await labWith({ disks: ['a', 'b'], exec: member('/a') })
      const [a, b] = lab.paths as [string, string]
      const events = recordedStream()
      const results = await lab.call(step, {}, { events })
      const reason = expect.stringContaining(
        `${a} is a member of a RAID array by its signature isw`,
      )
      expect((await lab.contentOf(0)).every((byte) => byte === 0x5a)).toBe(true)
      expect((await lab.contentOf(1))[0]).toBe(0)
      if (step === 'erase_devices_metadata') expect(results).toBeNull()
      else
        expect(results).toEqual({
          [a]: expect.stringMatching(/^left alone: /),
          [b]: expect.any(String),
        })
      expect(events.snapshot().lastWarning).toMatchObject({
        message: 'disk left alone',
        fields: { device: a, reason },
        error: { type: 'ProtectedDeviceError' },
      })
    })

    test('by the wish of the operator is told without a warning', async () => {
      const lab = await labWith({ disks: ['a'], skipped: true })
      const events = recordedStream()
      const results = await lab.call(step, {}, { events })
      expect((await lab.contentOf(0))[0]).toBe(0x5a)
      if (step !== 'erase_devices_metadata') {
        expect(results).toEqual({ [lab.paths[0] as string]: 'left alone: skipped' })
      }
      expect(events.snapshot().lastWarning).toBeNull()
    })
  },
)

describe('erase_devices_metadata', () => {
  test('answers null and erases both ends', async () => {
    const lab = await labWith()
    expect(await lab.call('erase_devices_metadata')).toBeNull()
    const bytes = await lab.contentOf(0)
    expect(isZero(bytes.subarray(0, MiB))).toBe(true)
    expect(isZero(bytes.subarray(-MiB))).toBe(true)
  })

  test('erases the other disks when one fails, and names it with its reason', async () => {
    const lab = await labWith({
      disks: ['a', 'b', 'c'],
      exec: (line) =>
        line.startsWith('wipefs') && line.endsWith('/b')
          ? Promise.reject(
              new AgentError('ProcessError', 'wipefs: exit code 1: Input/output error'),
            )
          : undefined,
    })
    await expect(lab.call('erase_devices_metadata')).rejects.toMatchObject({
      type: 'BlockDeviceEraseError',
      details: expect.stringMatching(/^1 of 3 disks not erased: \S+\/b: .*Input\/output error/),
    })
    for (const index of [0, 2]) expect((await lab.contentOf(index))[0]).toBe(0)
  })

  test.each([1, 2, 4])('has at most disk_erasure_concurrency=%i disks at work', async (limit) => {
    let [running, most] = [0, 0]
    const full = Promise.withResolvers<void>()
    const lab = await labWith({
      disks: ['a', 'b', 'c', 'd'],
      exec: async (line) => {
        if (!line.startsWith('wipefs --force')) return ''
        running++
        most = Math.max(most, running)
        // nobody is done before all who may are at work, and one too many has a moment to come
        if (running === limit) full.resolve()
        await full.promise
        await new Promise((resolve) => setTimeout(resolve, 20))
        running--
        return ''
      },
    })
    await lab.call('erase_devices_metadata', { disk_erasure_concurrency: limit })
    expect(most).toBe(limit)
  })

  test('fails when a signature is there again afterwards', async () => {
    const lab = await labWith({
      exec: (line) =>
        line.startsWith('wipefs --noheadings') ? Promise.resolve('0x438 ext4\n') : undefined,
    })
    await expect(lab.call('erase_devices_metadata')).rejects.toMatchObject({
      details: expect.stringContaining(
        'still has signatures after erasing its metadata: 0x438 ext4',
      ),
    })
  })
})

test('erase_devices_express erases the metadata of disks that are not NVMe', async () => {
  const lab = await labWith()
  expect(await lab.call('erase_devices_express')).toEqual({
    [lab.paths[0] as string]: 'metadata erased',
  })
})

test.each([
  [{}, 'no such file'],
  [{ nvme_erase_method: 'sanitize' }, 'not supported'],
  [{ verify: 'full' }, 'not supported'],
])(
  'erase_devices_express with %j fails where the drive does, or goes on: %s',
  async (args, word) => {
    // that there is no such disk is told by what would erase its metadata
    const lab = await labWith({
      named: '/dev/nvme99n1',
      exec: (line) =>
        line.startsWith('nvme') ? Promise.reject(new Error('ioctl: not supported')) : undefined,
    })
    await expect(lab.call('erase_devices_express', {}, {}, args)).rejects.toThrow(word)
  },
)
