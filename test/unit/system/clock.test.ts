import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import { setClocks, setSystemClock } from '../../../agent/system/clock/clocks.ts'
import { offsetOf } from '../../../agent/system/clock/time-server.ts'
import type { Exec } from '../../../agent/system/exec.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'

interface Machine {
  /** Programs that are there. */
  readonly programs?: readonly string[]
  /** Those that end with an error when they are to work. */
  readonly failing?: readonly string[]
  readonly server?: string | null
  readonly mustBeSet?: boolean
  readonly machineControl?: 'real' | 'log'
}

/** What is called and logged on a machine that has just these programs. */
function clockOf(machine: Machine) {
  const { programs = ['chronyd', 'chronyc', 'ntpdate', 'hwclock'], failing = [] } = machine
  const calls: string[][] = []
  const lines: string[] = []
  const exec: Exec = async (argv) => {
    if (!programs.includes(argv[0])) {
      const cause = Object.assign(new Error('spawn'), { code: 'ENOENT' })
      throw new AgentError('ProcessError', `${argv[0]}: command not found`, { cause })
    }
    calls.push([...argv])
    if (failing.includes(argv[0])) throw new AgentError('ProcessError', `${argv[0]}: exit code 1`)
    return { stdout: '', stderr: 'System clock wrong by -2.500 seconds', exitCode: 0 }
  }
  const log = createLogger({ level: 'info', destination: { write: (line) => lines.push(line) } })
  const deps = {
    exec,
    log,
    config: {
      ntp_server: machine.server === undefined ? 'ntp.example.com' : machine.server,
      fail_if_clock_not_set: machine.mustBeSet ?? false,
      machine_control: machine.machineControl ?? 'real',
    },
  }
  return { deps, calls, names: () => calls.map(([name]) => name), said: () => lines.join('') }
}

describe('the clock', () => {
  test('is set by chronyd, which asks that server alone and reads no file', async () => {
    const { deps, calls, said } = clockOf({})
    await setSystemClock(deps)
    expect(calls.map(([name]) => name)).toEqual(['chronyc', 'chronyd'])
    const [, chronyd = []] = calls
    expect(chronyd).toContain('-q')
    expect(chronyd.filter((word) => word.includes('ntp.example.com'))).toEqual([
      'server ntp.example.com iburst maxsamples 1',
    ])
    expect(chronyd).not.toContain('-f')
    expect(said()).toContain('"offset_s":-2.5')
  })

  test('is set by ntpdate where there is no chronyd', async () => {
    const { deps, calls } = clockOf({ programs: ['ntpdate'] })
    await setSystemClock(deps)
    expect(calls).toEqual([['ntpdate', 'ntp.example.com']])
  })

  test('is set without chronyc as well', async () => {
    const { deps, names } = clockOf({ programs: ['chronyd'] })
    await setSystemClock(deps)
    expect(names()).toEqual(['chronyd'])
  })

  test('is left alone where no server is set', async () => {
    const { deps, calls } = clockOf({ server: null, mustBeSet: true })
    await setSystemClock(deps)
    expect(calls).toEqual([])
  })

  test('is only compared with machine_control=log', async () => {
    const { deps, calls, said } = clockOf({ machineControl: 'log' })
    await setClocks(deps)
    expect(calls).toHaveLength(1)
    expect(calls[0]?.slice(0, 3)).toEqual(['chronyd', '-x', '-q'])
    expect(said()).toContain('clock compared, not set')
  })

  test.each([
    ['the server does not answer', { failing: ['chronyd'] }, 'chronyd: exit code 1'],
    ['no program can set it', { programs: ['hwclock'] }, 'neither chronyd nor ntpdate'],
  ])('that cannot be set because %s is a warning', async (_why, machine, words) => {
    const { deps, said } = clockOf(machine)
    await setSystemClock(deps)
    expect(said()).toContain('clock not set')
    expect(said()).toContain(words)
  })

  test.each([
    ['the server does not answer', { failing: ['chronyd'] }],
    ['no program can set it', { programs: ['hwclock'] }],
  ])('that must be set and cannot because %s is an error', async (_why, machine) => {
    const { deps } = clockOf({ ...machine, mustBeSet: true })
    await expect(setSystemClock(deps)).rejects.toMatchObject({ type: 'ClockSyncError' })
  })
})

describe('both clocks at the end', () => {
  test('the hardware clock follows the server', async () => {
    const { deps, names } = clockOf({})
    await setClocks(deps)
    expect(names()).toEqual(['chronyc', 'chronyd', 'hwclock'])
  })

  test('the hardware clock is set although the server does not answer', async () => {
    const { deps, names } = clockOf({ failing: ['chronyd'] })
    await setClocks(deps)
    expect(names().at(-1)).toBe('hwclock')
  })

  test('the hardware clock is set where no server is known', async () => {
    const { deps, names } = clockOf({ server: null })
    await setClocks(deps)
    expect(names()).toEqual(['hwclock'])
  })

  test.each([[['chronyd']], [['hwclock']]])(
    'with fail_if_clock_not_set a failing %s keeps the machine on',
    async (failing) => {
      const { deps } = clockOf({ failing, mustBeSet: true })
      await expect(setClocks(deps)).rejects.toMatchObject({ type: 'ClockSyncError' })
    },
  )
})

test.each([
  ['System clock wrong by 12.000001 seconds (ignored)', 12.000001],
  ['29 Nov 12:00:00 ntpdate[7]: adjust time server 192.0.2.1 offset -0.000123 sec', -0.000123],
  ['Timeout reached', undefined],
])('%s: the offset is %s', (output, offset) => {
  expect(offsetOf(output)).toBe(offset)
})
