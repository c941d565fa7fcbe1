import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { createPowerControl } from '../../../agent/deploy/power-control.ts'
import type { Exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'

/** What the ramdisk's init is told is written there. */
const folder = mkdtempSync(join(tmpdir(), 'ironswarm-power-'))
afterAll(() => rmSync(folder, { recursive: true }))

function controlWith(machineControl: 'real' | 'log') {
  const ran: string[] = []
  const ends: string[] = []
  const exec: Exec = async (argv) => {
    ran.push(argv.join(' '))
    return { stdout: '', stderr: '', exitCode: 0 }
  }
  const power = createPowerControl({
    exec,
    root: createRoot(folder),
    log: createLogger({ level: 'silent' }),
    machineControl,
    clock: { ntp_server: null, fail_if_clock_not_set: false },
    onMachineEnd: (reason) => ends.push(reason),
  })
  return { power, ran, ends }
}

test('an end of the machine is asked of init, and the agent waits for it', async () => {
  const { power, ran, ends } = controlWith('real')
  await power.powerOff()
  await power.reboot()
  await power.startLoadedKernel()
  expect(ran.filter((line) => !line.startsWith('hwclock'))).toEqual([
    'poweroff',
    'reboot',
    'reboot',
  ])
  expect(ends).toEqual([])
})

test('an end that machine_control=log only logs ends the agent instead', async () => {
  const { power, ran, ends } = controlWith('log')
  await power.powerOff()
  await power.reboot()
  await power.startLoadedKernel()
  expect(ran).toEqual([])
  expect(ends).toEqual(['powered off', 'rebooted', 'instance started'])
})
