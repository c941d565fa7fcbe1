// SPDX-License-Identifier: Apache-2.0
// Owns showing a recorded machine to real programs: namespaces in which /sys, /dev, udev's database and some files of /proc
// are the machine's. Its device nodes can be looked at and not opened. Needs root.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Exec, exec } from '../../../agent/system/exec.ts'
import { createRoot, type Root } from '../../../agent/system/root.ts'
import { lshwNetworkNodes, programsOf } from './programs.ts'
import { layOut, type RecordedMachine, visibleFiles } from './tree.ts'

/**
 * `$1` is the root tree without a slash at its end, `$2` the machine's folder, `$3` its name. The mounts are private and end with the process. Nodes
 * of disks may have numbers that a disk of this machine has: the mount says that none of them is a device.
 */
const SHOW = [
  'set -e',
  'tree=$1 machine=$2',
  'mount -t tmpfs -o nodev none "$machine/nodes"',
  'cp -a "$machine/dev/." "$machine/nodes/"',
  'for name in null zero full random urandom; do',
  '  : > "$machine/nodes/$name"; mount --bind "/dev/$name" "$machine/nodes/$name"',
  'done',
  'while read -r path type major minor; do rm "$machine/nodes$path"; mknod "$machine/nodes$path" "$type" "$major" "$minor"; done < "$machine/node-list"',
  '[ -z "$tree" ] || mount --rbind /proc "$tree/proc"',
  'mount --bind "$machine/sys" "$tree/sys"',
  'mount --rbind "$machine/nodes" "$tree/dev"',
  'mount --bind "$machine/run" "$tree/run"',
  'for name in cpuinfo meminfo cmdline; do mount --bind "$machine/proc/$name" "$tree/proc/$name"; done',
  'hostname "$3"',
  `exec chroot "$tree/" sh -c 'echo ready; exec cat'`,
].join('\n')

export interface Sandbox extends AsyncDisposable {
  /** The machine's files as seen from outside. */
  readonly root: Root
  /** Runs a program of the root tree, or one of the machine's own, on the machine. */
  readonly exec: Exec
}

/** @param tree root tree with the programs; `/` for this machine's own */
export async function openSandbox(machine: RecordedMachine, tree: string): Promise<Sandbox> {
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-recorded-'))
  let holder: ChildProcess | undefined
  const close = async () => {
    if (holder?.exitCode === null && holder.signalCode === null) {
      holder.stdin?.end()
      await once(holder, 'exit')
    }
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await prepare(machine, folder)
    const words = [
      '--mount',
      '--net',
      '--uts',
      'sh',
      '-c',
      SHOW,
      'sh',
      tree.replace(/\/$/, ''),
      folder,
      machine.hostname,
    ]
    holder = spawn('unshare', words, { stdio: ['pipe', 'pipe', 'inherit'] })
    await ready(holder)
    const { pid } = holder
    const enter = [
      'nsenter',
      `--target=${pid}`,
      '--mount',
      '--net',
      '--uts',
      '--root',
      '--wd=/',
    ] as const
    const path = '/run/machine/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    return {
      root: createRoot(folder),
      exec: (argv, options = {}) =>
        // libudev would not take a folder for sysfs
        exec([...enter, 'env', `PATH=${path}`, 'SYSTEMD_DEVICE_VERIFY_SYSFS=0', ...argv], options),
      [Symbol.asyncDispose]: close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function prepare(machine: RecordedMachine, folder: string): Promise<void> {
  const bin = join(folder, 'run/machine/bin')
  for (const path of [bin, join(folder, 'dev'), join(folder, 'nodes'), join(folder, 'sys')]) {
    await mkdir(path, { recursive: true })
  }
  await layOut(visibleFiles(machine), folder)
  const nodes = Object.entries(machine.nodes).map(
    ([path, what]) => `${path.slice('/dev'.length)} ${what.replace(':', ' ')}\n`,
  )
  await writeFile(join(folder, 'node-list'), nodes.join(''))
  for (const [name, script] of Object.entries(programsOf(machine))) {
    await writeFile(join(bin, name), script)
    await chmod(join(bin, name), 0o755)
  }
  const facts = join(folder, 'run/machine')
  await writeFile(join(facts, 'lshw-network.json'), JSON.stringify(lshwNetworkNodes(machine.links)))
  await writeFile(join(facts, 'links.json'), JSON.stringify(machine.links))
}

/** @throws Error with its exit code where the machine cannot be shown */
async function ready(holder: ChildProcess): Promise<void> {
  const ended = once(holder, 'exit').then(([code]) => {
    throw new Error(`the machine cannot be shown: unshare ended with ${code}`)
  })
  await Promise.race([once(holder.stdout as NodeJS.ReadableStream, 'data'), ended])
  ended.catch(() => undefined)
}
