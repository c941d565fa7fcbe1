// SPDX-License-Identifier: Apache-2.0
// Owns the machines of hardware tests: a file tree in a temporary directory, and commands that answer
// what a table says. Everything above them is the real code.
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { AgentError } from '../../../agent/core/errors.ts'
import type { Exec } from '../../../agent/system/exec.ts'
import { createRoot, type Root } from '../../../agent/system/root.ts'

export interface Machine extends AsyncDisposable {
  readonly root: Root
  readonly exec: Exec
  /** Command lines that were run, in order. */
  readonly ran: string[]
}

/**
 * @param files text by absolute path; a value that begins with `-> ` is a symlink's target
 * @param answers stdout by the beginning of a command line; the longest that fits answers, a command
 *   without an answer is not installed
 */
export async function machineWith(
  files: Readonly<Record<string, string>> = {},
  answers: Readonly<Record<string, string>> = {},
): Promise<Machine> {
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-machine-'))
  for (const [path, text] of Object.entries(files)) {
    const target = join(folder, path)
    await mkdir(dirname(target), { recursive: true })
    if (text.startsWith('-> ')) await symlink(text.slice(3), target)
    else await writeFile(target, text)
  }
  const ran: string[] = []
  const exec: Exec = async (argv, options = {}) => {
    const line = argv.join(' ')
    ran.push(line)
    if (options.signal?.aborted) throw new AgentError('ProcessError', `${argv[0]}: cancelled`)
    const fitting = Object.keys(answers).filter((start) => line.startsWith(start))
    const best = fitting.sort((a, b) => b.length - a.length)[0]
    if (best === undefined) throw new AgentError('ProcessError', `${argv[0]}: command not found`)
    return { stdout: answers[best] as string, stderr: '', exitCode: 0 }
  }
  return {
    root: createRoot(folder),
    exec,
    ran,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

/** What lsblk prints for these rows; every device has 100 GiB unless the row says otherwise. */
export function lsblkOutput(rows: readonly Record<string, unknown>[]): string {
  const defaults = { type: 'disk', size: 107374182400, rota: false, 'log-sec': 512, 'phy-sec': 512 }
  return JSON.stringify({ blockdevices: rows.map((row) => ({ ...defaults, ...row })) })
}

/** A NIC, a VLAN on it and a bond; lo and a bridge, which are no interfaces of Ironic's. */
export const NIC_FILES = {
  '/sys/class/net/eno1/address': '52:54:00:AA:BB:01\n',
  '/sys/class/net/eno1/carrier': '1\n',
  '/sys/class/net/eno1/speed': '1000\n',
  '/sys/class/net/eno1/device': '-> ../../../devices/pci0000:00/0000:01:00.0',
  '/sys/devices/pci0000:00/0000:01:00.0/vendor': '0x8086\n',
  '/sys/devices/pci0000:00/0000:01:00.0/device': '0x1521\n',
  '/sys/devices/pci0000:00/0000:01:00.0/driver': '-> ../../../bus/pci/drivers/igb',
  '/sys/bus/pci/drivers/igb/x': '',
  '/sys/class/net/lo/address': '00:00:00:00:00:00\n',
  '/sys/class/net/br0': '-> ../../devices/virtual/net/br0',
  '/sys/devices/virtual/net/br0/address': '52:54:00:aa:bb:02\n',
  '/sys/class/net/eno1.100/address': '52:54:00:aa:bb:01\n',
  '/sys/class/net/bond0/address': '52:54:00:aa:bb:03\n',
  '/sys/class/net/bond0/bonding/mode': 'active-backup 1\n',
  '/sys/class/net/bond0/speed': '-1\n',
}
