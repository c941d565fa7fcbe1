// SPDX-License-Identifier: Apache-2.0
// Owns the BMC of a QEMU machine: OpenIPMI's ipmi_sim, with one LAN channel, which the machine reaches by KCS. Its network is
// words that it says; nothing listens there.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort, stopChild } from '../processes.ts'

/** What channel 1 says of itself. */
export const BMC_NETWORK = { ip_addr: '192.0.2.77', mac_addr: '52:54:00:b0:0c:01' } as const

export interface Bmc extends AsyncDisposable {
  /** Of 127.0.0.1, for QEMU's `ipmi-bmc-extern`. */
  readonly port: number
}

const START_TIMEOUT_MS = 60_000
/** A management controller with an event log, and nothing else (ipmi_sim_cmd(5)). */
const CONTROLLER = [
  'mc_setbmc 0x20',
  'mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr',
  'sel_enable 0x20 1000 0x0a',
  'mc_enable 0x20\n',
].join('\n')

/** @throws Error where ipmi_sim does not start */
export async function startBmc(folder: string): Promise<Bmc> {
  await mkdir(join(folder, 'state'), { recursive: true })
  const at = (name: string) => join(folder, name)
  await writeFile(at('network'), networkScript())
  await chmod(at('network'), 0o755)
  await writeFile(at('controller'), CONTROLLER)
  const [port, lanPort] = [await freePort(), await freePort()]
  await writeFile(at('configuration'), configuration(at('network'), { port, lanPort }))
  const words = ['-c', at('configuration'), '-f', at('controller'), '-s', at('state'), '-n']
  // it would end with a connection that is closed while it writes: with the machine's power
  const program = ['env', '--ignore-signal=PIPE', 'ipmi_sim', ...words]
  const argv = ['--pdeathsig', 'TERM', '--', ...program]
  const child = spawn('setpriv', argv, { stdio: 'ignore' })
  const gone = once(child, 'exit').then(([code]) => {
    throw new Error(`ipmi_sim ended with ${code}`)
  })
  gone.catch(() => undefined)
  await Promise.race([listening(port), gone])
  return { port, [Symbol.asyncDispose]: () => stopChild(child) }
}

/** ipmi_lan(5): asks the program for what it does not keep itself. */
function configuration(network: string, of: { port: number; lanPort: number }): string {
  return [
    'name "bmc"',
    'set_working_mc 0x20',
    'startlan 1',
    `  addr 127.0.0.1 ${of.lanPort}`,
    '  priv_limit admin',
    '  allowed_auths_admin none',
    `  lan_config_program "${network}"`,
    'endlan',
    `serial 15 127.0.0.1 ${of.port} codec VM\n`,
  ].join('\n')
}

function networkScript(): string {
  const facts = {
    ...BMC_NETWORK,
    ...{ ip_addr_src: 'static', subnet_mask: '255.255.255.0' },
    ...{ default_gw_ip_addr: '192.0.2.1', default_gw_mac_addr: '00:00:00:00:00:00' },
    ...{ backup_gw_ip_addr: '0.0.0.0', backup_gw_mac_addr: '00:00:00:00:00:00' },
  }
  const cases = Object.entries(facts).map(([name, value]) => `${name}) echo ${name}:${value} ;;`)
  return ['#!/bin/sh', '[ "$1" = get ] || exit 0', 'case $2 in', ...cases, 'esac\n'].join('\n')
}

/** Looks without connecting: ipmi_sim has one connection. */
async function listening(port: number): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS
  const words = `:${port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A`
  while (performance.now() < deadline) {
    if ((await readFile('/proc/net/tcp', 'utf8')).includes(words)) return
    await delay(200)
  }
  throw new Error(`nobody listens to ${port} after ${START_TIMEOUT_MS / 1000} s`)
}
