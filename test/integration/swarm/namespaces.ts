// SPDX-License-Identifier: Apache-2.0
// Owns a network of namespaces for tests: machines on one bridge, nothing of it on the host's own
// network. Programs in it are the test's to stop.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'

/** Ours are called iw-test-PID-RANDOM-…, so that those of dead runs can be told; a PID comes again. */
const PREFIX = 'iw-test-'
const TOOLS = ['/usr/sbin/ip', '/sbin/ip']

export interface LabMachine {
  readonly address: string
  /** The words that make a command run on this machine. */
  readonly on: readonly string[]
}

export interface LabNetwork extends AsyncDisposable {
  readonly machines: readonly LabMachine[]
  /** What all hang at: machine 0 at its port `p0`, and so on. Without an address. */
  readonly core: Pick<LabMachine, 'on'>
}

/** True where namespaces can be made: root and iproute2; else prints why tests are skipped. */
export function canMakeNetworks(): boolean {
  const isRoot = process.getuid?.() === 0
  if (isRoot && TOOLS.some((path) => existsSync(path))) return true
  console.log(`skipped: network namespaces need ${isRoot ? 'iproute2' : 'root'}`)
  return false
}

export interface LabNetworkOptions {
  /** Only IPv6: fd78::1, fd78::2, … */
  readonly isIpv6?: boolean
}

/** Machines 10.78.0.1, 10.78.0.2, … on one bridge. */
export function createLabNetwork(count: number, options: LabNetworkOptions = {}): LabNetwork {
  removeThoseOfTheDead()
  const made: string[] = []
  const own = `${PREFIX}${process.pid}-${randomBytes(4).toString('hex')}`
  const add = (suffix: string) => {
    const name = `${own}-${suffix}`
    run('ip', 'netns', 'add', name)
    made.push(name)
    run('ip', '-n', name, 'link', 'set', 'lo', 'up')
    return name
  }
  const core = add('core')
  run('ip', '-n', core, 'link', 'add', 'br0', 'type', 'bridge', 'forward_delay', '0')
  run('ip', '-n', core, 'link', 'set', 'br0', 'up')
  const within = (name: string) => ['nsenter', `--net=/run/netns/${name}`, '--']
  const machines = Array.from({ length: count }, (_, index): LabMachine => {
    const name = add(`n${index}`)
    const address = options.isIpv6 ? `fd78::${index + 1}` : `10.78.0.${index + 1}`
    const cidr = options.isIpv6 ? [`${address}/64`, 'nodad'] : [`${address}/24`]
    const [port, cable] = [`p${index}`, ['type', 'veth', 'peer', 'name', 'eth0', 'netns', name]]
    run('ip', '-n', core, 'link', 'add', port, ...cable)
    run('ip', '-n', core, 'link', 'set', port, 'master', 'br0', 'up')
    run('ip', '-n', name, 'addr', 'add', ...cidr, 'dev', 'eth0')
    run('ip', '-n', name, 'link', 'set', 'eth0', 'up')
    return { address, on: within(name) }
  })
  return {
    machines,
    core: { on: within(core) },
    [Symbol.asyncDispose]: async () => {
      for (const name of made) run('ip', 'netns', 'delete', name)
    },
  }
}

/** Runs a command on a machine to its end; throws with what it said. */
export function runOn(machine: Pick<LabMachine, 'on'>, ...argv: readonly string[]): string {
  const [command, ...args] = [...machine.on, ...argv] as [string, ...string[]]
  return run(command, ...args)
}

function removeThoseOfTheDead(): void {
  const names = existsSync('/run/netns') ? readdirSync('/run/netns') : []
  for (const name of names) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1]
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue
    try {
      run('ip', 'netns', 'delete', name)
    } catch (error) {
      // another test that begins now has been faster
      if (existsSync(`/run/netns/${name}`)) throw error
    }
  }
}

function run(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}
