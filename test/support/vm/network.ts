// SPDX-License-Identifier: Apache-2.0
// Owns the network that machines boot in: a bridge with taps, and dnsmasq with DHCP, TFTP and router
// advertisements. It lives in a network namespace of this process alone (`unshare --net`), so two runs
// never meet, and the kernel takes all of it away when the process ends.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { stopChild } from '../processes.ts'

const run = promisify(execFile)

const BRIDGE = 'ironswarm'
/** Servers of the laboratory listen here. */
export const LAB_ADDRESS = '10.77.0.1'
const LAB_ADDRESS_6 = 'fd77::1'

/** iPXE to be fetched by TFTP, for firmware whose NIC has none (Debian's package ipxe). */
const LOADERS = { bios: 'undionly.kpxe', uefi: 'snponly.efi' } as const

export interface NetworkOptions {
  /** Gets dnsmasq's log and the files for TFTP. */
  readonly folder: string
  readonly taps: number
}

export interface Network extends AsyncDisposable {
  /** Names of tap devices, one per machine. */
  readonly taps: readonly string[]
  readonly dhcpLog: string
  /**
   * Starts DHCP, TFTP and router advertisements; iPXE is told to load `bootScriptUrl`.
   * @param unknown MAC addresses that get no answer
   */
  serveBoot(bootScriptUrl: string, unknown?: readonly string[]): Promise<void>
}

/** Makes bridge and taps. Throws outside of a network namespace of our own. */
export async function createNetwork({ folder, taps: count }: NetworkOptions): Promise<Network> {
  await assertOwnNamespace()
  await mkdir(folder, { recursive: true })
  await ip('link', 'set', 'lo', 'up')
  // a bridge would hold packets back for 15 s after a machine's start
  await ip('link', 'add', BRIDGE, 'type', 'bridge', 'forward_delay', '0')
  await ip('address', 'add', `${LAB_ADDRESS}/24`, 'dev', BRIDGE)
  await ip('address', 'add', `${LAB_ADDRESS_6}/64`, 'dev', BRIDGE, 'nodad')
  await ip('link', 'set', BRIDGE, 'up')
  const taps: string[] = []
  for (let number = 0; number < count; number++) {
    const tap = `tap${number}`
    await ip('tuntap', 'add', tap, 'mode', 'tap')
    await ip('link', 'set', tap, 'master', BRIDGE, 'up')
    taps.push(tap)
  }
  const dhcpLog = join(folder, 'dhcp.log')
  let dnsmasq: ChildProcess | undefined
  return {
    taps,
    dhcpLog,
    serveBoot: async (bootScriptUrl, unknown = []) => {
      const tftpRoot = join(folder, 'tftp')
      await mkdir(tftpRoot, { recursive: true })
      for (const loader of Object.values(LOADERS)) {
        const source = join('/usr/lib/ipxe', loader)
        if (existsSync(source)) await copyFile(source, join(tftpRoot, loader))
      }
      dnsmasq = startDnsmasq({ bootScriptUrl, tftpRoot, dhcpLog, unknown })
      await waitUntilServing(dnsmasq, dhcpLog)
    },
    [Symbol.asyncDispose]: async () => {
      if (dnsmasq) await stopChild(dnsmasq)
      for (const tap of taps) await ip('link', 'delete', tap)
      await ip('link', 'delete', BRIDGE)
    },
  }
}

async function assertOwnNamespace(): Promise<void> {
  const { stdout } = await run('ip', ['-o', 'link'])
  const others = stdout.split('\n').filter((line) => line !== '' && !/^\d+: lo:/.test(line))
  if (others.length > 0) {
    throw new Error(
      'this is not a network namespace of our own; start it by make, or under unshare --net',
    )
  }
}

interface DnsmasqOptions {
  readonly bootScriptUrl: string
  readonly tftpRoot: string
  readonly dhcpLog: string
  readonly unknown: readonly string[]
}

function startDnsmasq({ bootScriptUrl, tftpRoot, dhcpLog, unknown }: DnsmasqOptions): ChildProcess {
  // biome-ignore format: one subject per line
  const argv = [
    '--keep-in-foreground', '--conf-file=/dev/null', '--user=root', '--group=root', '--pid-file',
    '--port=0', `--interface=${BRIDGE}`, '--bind-interfaces', '--except-interface=lo',
    '--dhcp-range=10.77.0.50,10.77.0.250,1h', '--dhcp-authoritative', '--no-ping',
    '--leasefile-ro', ...unknown.map((mac) => `--dhcp-host=${mac},ignore`),
    // iPXE looks for an IPv6 router for 14 s, and goes on at once when it has seen one
    '--enable-ra', '--dhcp-range=fd77::,ra-only',
    '--enable-tftp', `--tftp-root=${tftpRoot}`,
    // option 175 is iPXE's own (ipxe.org/howto/dhcpd); architecture 7 is x86-64 UEFI (RFC 4578)
    '--dhcp-match=set:ipxe,175', '--dhcp-match=set:uefi,option:client-arch,7',
    `--dhcp-boot=tag:ipxe,${bootScriptUrl}`,
    `--dhcp-boot=tag:!ipxe,tag:uefi,${LOADERS.uefi}`,
    `--dhcp-boot=tag:!ipxe,tag:!uefi,${LOADERS.bios}`,
    '--log-dhcp', '--log-facility=-',
  ]
  const log = openSync(dhcpLog, 'w')
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'dnsmasq', ...argv], {
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  return child
}

async function waitUntilServing(dnsmasq: ChildProcess, dhcpLog: string): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    const log = await readFile(dhcpLog, 'utf8')
    if (/DHCP, IP range/.test(log)) return
    if (dnsmasq.exitCode !== null) throw new Error(`dnsmasq did not start: ${log}`)
    await delay(100)
  }
  throw new Error(`dnsmasq did not start within 30 s: ${dhcpLog}`)
}

async function ip(...words: string[]): Promise<void> {
  await run('ip', words)
}
