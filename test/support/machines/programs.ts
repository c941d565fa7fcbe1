// SPDX-License-Identifier: Apache-2.0
// Owns the programs of a recorded machine that ask the kernel or the hardware for what no file holds: `ip`, `ethtool`,
// ipmitool, multipath, biosdevname, and the part of lshw that speaks ethtool. Everything else is the real program.
import type { Answers, Link, RecordedMachine } from './tree.ts'

/** Shell scripts by name. A line that is not among the answers ends with 1, as hardware that is not there. */
export function programsOf(machine: RecordedMachine): Readonly<Record<string, string>> {
  const lines = answersOf(machine)
  const names = new Set([
    ...Object.keys(lines).map((line) => line.split(' ')[0] as string),
    ...SILENT,
  ])
  const scripts = [...names].map((name) => [name, scriptOf(name, lines)])
  return { ...Object.fromEntries(scripts), lshw: LSHW }
}

/** They would reach for this machine's own devices. */
const SILENT = ['ethtool', 'iscsistart', 'mdadm', 'modprobe', 'multipath', 'multipathd']

export function answersOf({ answers, links }: RecordedMachine): Answers {
  const ethtool = links.map((link) => [`ethtool ${link.name}`, ethtoolAnswer(link)])
  return { ...answers, 'ip -json address show': ipAnswer(links), ...Object.fromEntries(ethtool) }
}

function scriptOf(name: string, lines: Answers): string {
  const cases = Object.entries(lines)
    .filter(([line]) => line === name || line.startsWith(`${name} `))
    .map(([line, text]) => {
      const args = line.slice(name.length + 1)
      return `'${args}')\ncat <<'ANSWER'\n${text}${text.endsWith('\n') || text === '' ? '' : '\n'}ANSWER\n;;`
    })
  return ['#!/bin/sh', 'case "$*" in', ...cases, '*) exit 1 ;;', 'esac\n'].join('\n')
}

/** iproute2 names a permanent address only where another one is set (ip/ipaddress.c). */
function ipAnswer(links: readonly Link[]): string {
  const rows = links.map((link, index) => ({
    ifindex: index + 2,
    ifname: link.name,
    address: link.address,
    ...(link.permanentAddress === undefined || link.permanentAddress === link.address
      ? {}
      : { permaddr: link.permanentAddress }),
    addr_info: [
      ...(link.ipv4 === undefined ? [] : [{ family: 'inet', local: link.ipv4, scope: 'global' }]),
      ...(link.ipv6 ?? []).map((local) => ({
        family: 'inet6',
        local,
        scope: local.startsWith('fe80:') ? 'link' : 'global',
      })),
    ],
  }))
  return JSON.stringify(rows)
}

function ethtoolAnswer({ name, modes = [], speed }: Link): string {
  return [
    `Settings for ${name}:`,
    `\tSupported link modes:   ${modes.join('\n\t                        ') || 'Not reported'}`,
    '\tSupported pause frame use: No',
    `\tSpeed: ${speed === undefined ? 'Unknown!' : `${speed}Mb/s`}`,
    `\tLink detected: ${speed === undefined ? 'no' : 'yes'}\n`,
  ].join('\n')
}

/** What lshw makes of ethtool's answer (its network.cc): the fastest mode as `capacity`, the speed of the link as `size`. */
export function lshwNetworkNodes(links: readonly Link[]): readonly object[] {
  return links.map(({ name, modes = [], speed }, index) => {
    const fastest = Math.max(0, ...modes.map((mode) => Number.parseInt(mode, 10)))
    return {
      id: `network:${index}`,
      class: 'network',
      logicalname: name,
      units: 'bit/s',
      ...(speed === undefined ? {} : { size: speed * 1_000_000 }),
      ...(fastest === 0 ? {} : { capacity: fastest * 1_000_000 }),
    }
  })
}

/** The real lshw, and the interfaces of the machine among what it found. */
const LSHW = `#!/usr/bin/python3
import json, subprocess
found = json.loads(subprocess.run(['/usr/bin/lshw', '-quiet', '-json'], stdout=subprocess.PIPE, check=True).stdout)
top = found[0] if isinstance(found, list) else found
with open('/run/machine/lshw-network.json') as nodes:
    top.setdefault('children', []).extend(json.load(nodes))
print(json.dumps(found))
`
