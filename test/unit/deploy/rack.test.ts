import { describe, expect, test } from 'vitest'
import { watchRack } from '../../../agent/deploy/rack.ts'
import type { Exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { until } from '../../integration/swarm/lab.ts'

const CAPTURE = Buffer.from(
  `d4c3b2a1${'00'.repeat(28)}2000000020000000` +
    `0180c200000e02000000000188cc0207040a0b0c0d0e0f04020531060200780000`,
  'hex',
)
const common = {
  client: { urls: () => ['http://[2001:db8::1]:6385', 'http://192.0.2.1:6385'] },
  root: createRoot('/nowhere'),
  log: createLogger({ level: 'silent' }),
}
const config = { swarm_rack: null, swarm_mode: 'auto', lldp_timeout: 60 } as const

/** The route to 192.0.2.1 alone is known. */
function machine() {
  const ran: string[] = []
  const told = Promise.withResolvers<void>()
  const exec: Exec = async (argv, { onStdout, signal } = {}) => {
    ran.push(argv.join(' '))
    if (argv[0] === 'ip') {
      const stdout = argv.includes('192.0.2.1') ? '[{"dev":"eno1"}]' : ''
      return { stdout, stderr: '', exitCode: 0 }
    }
    const ended = new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve()))
    await Promise.race([told.promise, ended])
    if (!signal?.aborted) onStdout?.(CAPTURE)
    return { stdout: '', stderr: '', exitCode: 0 }
  }
  return { ran, exec, tell: () => told.resolve() }
}

describe('the rack of a deploy', () => {
  test("is the switch's from when it has spoken", async () => {
    const { exec, tell } = machine()
    using rack = watchRack({ ...common, config, exec })
    expect(rack.current).toBeNull()
    tell()
    expect(await rack.found).toBe('lldp:4:0a0b0c0d0e0f')
    expect(rack.current).toBe('lldp:4:0a0b0c0d0e0f')
  })

  test.each([
    ['the operator has named it', { ...config, swarm_rack: 'r7' }, 'r7'],
    ['there is no swarm', { ...config, swarm_mode: 'off' } as const, null],
    ['no time is given', { ...config, lldp_timeout: 0 }, null],
  ])('is not listened for where %s', async (_, given, expected) => {
    const { exec, ran } = machine()
    using rack = watchRack({ ...common, config: given, exec })
    expect(rack.current).toBe(expected)
    expect(await rack.found).toBeUndefined()
    expect(ran).toEqual([])
  })

  test('stays unknown when the agent ends first', async () => {
    const { exec, ran, tell } = machine()
    const rack = watchRack({ ...common, config, exec })
    await until(() => ran.some((line) => line.includes('-i eno1')), 'the listener')
    rack[Symbol.dispose]()
    tell()
    expect(await rack.found).toBeUndefined()
    expect(rack.current).toBeNull()
  })
})
