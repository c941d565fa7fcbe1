// SPDX-License-Identifier: Apache-2.0
// Owns the network of a swarm benchmark: a namespace per machine, a bridge per rack, token buckets on
// both directions of every cable. Nothing of it touches the network of the host. Starts no programs.
import { setting } from '../settings.ts'
import { createNamespace, type Namespace, run } from './namespace.ts'

const BURST_BYTES = 64 * 1024
/** Longest time a packet waits in a full queue: a switch with shallow buffers. */
const QUEUE_MS = 60
/** What the kernel of the ramdisk uses unless told otherwise. */
const CONGESTION = setting('CONGESTION') ?? 'cubic'

export interface Machine {
  readonly name: string
  readonly address: string
  /** The words that make a command run on this machine. */
  readonly on: readonly string[]
}

export interface Network extends Disposable {
  readonly origin: Machine
  readonly nodes: readonly Machine[]
  /** Bytes on the cable of each machine so far, as the machine sees them, headers included. */
  counters(): Counters
  /** TCP segments of all machines so far. */
  segments(): { readonly sent: number; readonly retransmitted: number }
}

export interface Counters {
  readonly origin: Traffic
  readonly nodes: readonly Traffic[]
  /** Through the uplinks of all racks, one direction. */
  readonly uplink: number
}

export interface Traffic {
  readonly sentBytes: number
  readonly receivedBytes: number
}

export interface NetworkOptions {
  readonly nodeCount: number
  /** Bits per second in each direction. */
  readonly nodeRate: number
  readonly originRate: number
  /** Nodes are spread over this many bridges; the origin hangs at the core. */
  readonly racks?: number
  /** Between a rack and the core, bits per second in each direction. */
  readonly uplinkRate?: number | undefined
}

/** Builds the network; disposal removes all of it. Needs root and iproute2. */
export function createNetwork(options: NetworkOptions): Network {
  const made: Namespace[] = []
  const addNamespace = (suffix: string) => {
    const namespace = createNamespace(suffix)
    made.push(namespace)
    return namespace
  }
  const dispose = () => {
    for (const namespace of made.splice(0)) namespace[Symbol.dispose]()
  }
  try {
    const core = addNamespace('core').name
    addBridge(core, 'core')
    const racks = options.racks ?? 1
    for (let rack = 0; racks > 1 && rack < racks; rack++) {
      addBridge(core, `rack${rack}`)
      plugRack(core, rack, options.uplinkRate ?? options.nodeRate)
    }
    const plug = (name: string, address: string, bridge: string, rate: number): Machine => {
      const namespace = addNamespace(name)
      plugMachine({ core, bridge, namespace: namespace.name, port: name, address, rate })
      return { name, address, on: namespace.on }
    }
    const origin = plug('origin', '10.77.0.1', 'core', options.originRate)
    const nodes = Array.from({ length: options.nodeCount }, (_, index) => {
      const rack = index % racks
      // the agent takes nodes of one /24 for neighbours
      const address = `10.77.${rack + 1}.${index + 1}`
      return plug(`n${index}`, address, racks > 1 ? `rack${rack}` : 'core', options.nodeRate)
    })
    return {
      origin,
      nodes,
      counters: () => {
        const ports = portTraffic(core)
        const of = (port: string) => ports.get(port) ?? { sentBytes: 0, receivedBytes: 0 }
        return {
          origin: of('origin'),
          nodes: nodes.map(({ name }) => of(name)),
          uplink: Array.from({ length: racks }, (_, rack) => of(`up${rack}`).sentBytes).reduce(
            (sum, bytes) => sum + bytes,
          ),
        }
      },
      segments: () => {
        const all = [origin, ...nodes].map(tcpSegments)
        return {
          sent: all.reduce((sum, each) => sum + each.sent, 0),
          retransmitted: all.reduce((sum, each) => sum + each.retransmitted, 0),
        }
      },
      [Symbol.dispose]: dispose,
    }
  } catch (error) {
    dispose()
    throw error
  }
}

function addBridge(namespace: string, name: string): void {
  ip('-n', namespace, 'link', 'add', name, 'type', 'bridge', 'forward_delay', '0')
  ip('-n', namespace, 'link', 'set', name, 'up')
}

/** `upN` is the rack's end of its uplink, `downN` the core's. */
function plugRack(core: string, rack: number, rate: number): void {
  ip('-n', core, 'link', 'add', `up${rack}`, 'type', 'veth', 'peer', 'name', `down${rack}`)
  for (const [port, bridge] of [
    [`up${rack}`, `rack${rack}`],
    [`down${rack}`, 'core'],
  ] as const) {
    ip('-n', core, 'link', 'set', port, 'master', bridge, 'up')
    shape(core, port, rate)
  }
}

function plugMachine(cable: {
  core: string
  bridge: string
  namespace: string
  port: string
  address: string
  rate: number
}): void {
  const { core, bridge, namespace, port, address, rate } = cable
  ip('-n', core, 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace)
  ip('-n', core, 'link', 'set', port, 'master', bridge, 'up')
  // a rack is a subnet; the switches do not care
  ip('-n', namespace, 'addr', 'add', `${address}/24`, 'dev', 'eth0', 'noprefixroute')
  ip('-n', namespace, 'link', 'set', 'eth0', 'up')
  // by route: the setting of a namespace takes only what the host allows its users
  const network = ['10.77.0.0/16', 'dev', 'eth0', 'src', address, 'congctl', CONGESTION]
  ip('-n', namespace, 'route', 'replace', ...network)
  // local service discovery is multicast
  ip('-n', namespace, 'route', 'add', 'default', 'dev', 'eth0')
  shape(core, port, rate)
  shape(namespace, 'eth0', rate)
}

/** tc-tbf(8): what leaves through this port. */
function shape(namespace: string, port: string, rate: number): void {
  const limits = ['rate', `${rate}bit`, 'burst', `${BURST_BYTES}`, 'latency', `${QUEUE_MS}ms`]
  run('tc', '-n', namespace, 'qdisc', 'replace', 'dev', port, 'root', 'tbf', ...limits)
}

/** What passed each port of the core; a port receives what the machine behind it sends. */
function portTraffic(core: string): Map<string, Traffic> {
  const links: { ifname: string; stats64: Record<'rx' | 'tx', { bytes: number }> }[] = JSON.parse(
    run('ip', '-n', core, '-j', '-s', 'link', 'show'),
  )
  return new Map(
    links.map(({ ifname, stats64: { rx, tx } }) => [
      ifname,
      { sentBytes: rx.bytes, receivedBytes: tx.bytes },
    ]),
  )
}

/** /proc/net/snmp: a line of names, a line of values. */
function tcpSegments(machine: Machine): { sent: number; retransmitted: number } {
  const argv = [...machine.on, 'cat', '/proc/net/snmp']
  const [command, ...args] = argv as [string, ...string[]]
  const [names, values] = run(command, ...args)
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' ')) as [string[], string[]]
  const value = (name: string) => Number(values[names.indexOf(name)])
  return { sent: value('OutSegs'), retransmitted: value('RetransSegs') }
}

function ip(...args: readonly string[]): void {
  run('ip', ...args)
}
