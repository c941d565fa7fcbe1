// SPDX-License-Identifier: Apache-2.0
// Owns a system that systemd has started: systemd is the first process of namespaces of its own, on a root that looks like
// this machine's and keeps what is written in memory. Nothing of this machine's services starts there, its network is
// its own, and all of it ends with the one who made it, however that ends.
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stopChild } from './processes.ts'

const SYSTEMD = '/lib/systemd/systemd'
const NAMESPACES = ['mount', 'pid', 'uts', 'ipc', 'net', 'cgroup'] as const
const STARTED_WITHIN_MS = 240_000
const COMMAND_MS = 120_000
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
const ADDRESS = '10.66.0.1'
const MAC = '52:54:00:66:00:01'

/**
 * Root, folders of the kernel, no device of this machine but those without memory; sysctl and modules are this
 * machine's, so /proc/sys cannot be written.
 */
const START = `set -e
mount --make-rprivate /
mount -t tmpfs -o size=1g layer "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" root "$0/root"
cd "$0/root"
mount -t proc proc proc
mount -o bind,ro proc/sys proc/sys
mount -t sysfs -o ro sys sys
mount -t cgroup2 cgroup sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
for name in null zero full random urandom tty; do
  : >"dev/$name"
  mount --bind "/dev/$name" "dev/$name"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mount -t tmpfs -o mode=755 units etc/systemd/system
: >etc/machine-id
rm -f etc/.rescued
ip link set lo up
ip link add eth0 address ${MAC} type veth peer name wire0
ip link set wire0 up
ip link set eth0 up
ip address add ${ADDRESS}/24 dev eth0
# a card has a device behind it, which a pair of ends lacks
mkdir "$0/net" "$0/net/eth0" "$0/net/eth0/device"
for name in addr_len address carrier flags ifindex mtu operstate type; do
  cat "sys/class/net/eth0/$name" >"$0/net/eth0/$name"
done
mount --bind "$0/net" sys/class/net
exec env -i container=test PATH=${PATH} chroot . ${SYSTEMD} --unit=basic.target --log-target=console --show-status=false`

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface SystemdSystem extends AsyncDisposable {
  /** Of its one network interface, which leads nowhere. */
  readonly address: string
  readonly mac: string
  /** This machine's path of a file of that system. */
  path(inside: string): string
  /** Runs a program in it to the end. */
  run(...argv: readonly string[]): Promise<Ended>
  /** Starts a program of this machine, on its files but in that system's network. */
  beside(argv: readonly string[]): ChildProcess
  /** Properties of a unit (systemctl-show(1)). */
  unit(name: string): Promise<Readonly<Record<string, string>>>
}

/** True where systemd can be started so; else prints why tests are skipped. */
export function canStartSystemd(): boolean {
  const why = whyNot()
  if (why) console.log(`skipped: systemd cannot be started here: ${why}`)
  return why === undefined
}

function whyNot(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root'
  if (!existsSync(SYSTEMD)) return 'it is not installed'
  const flags = NAMESPACES.map((name) => `--${name}`)
  const script = 'mount -t cgroup2 cgroup /sys/fs/cgroup && ip link add type veth'
  const tried = spawnSync('unshare', [...flags, '--fork', 'sh', '-c', script], { encoding: 'utf8' })
  return tried.status === 0 ? undefined : tried.stderr.trim()
}

/** Resolves once basic.target is reached. */
export async function startSystemd(): Promise<SystemdSystem> {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-systemd-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const flags = [...NAMESPACES.map((name) => `--${name}`), '--fork', '--kill-child=KILL']
  const argv = ['--pdeathsig', 'KILL', '--', 'unshare', ...flags, 'sh', '-c', START, folder]
  const child = spawn('setpriv', argv, { stdio: ['ignore', 'pipe', 'pipe'] })
  let words = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => (words = `${words}${text}`.slice(-4000)))
  }
  stack.defer(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  })
  const pid = await firstProcess(child, () => words)
  const enter = [`--target=${pid}`, ...NAMESPACES.map((name) => `--${name}`), '--root', '--wd']
  const run: SystemdSystem['run'] = (...program) =>
    new Promise((resolve) => {
      const clean = ['env', '-i', `PATH=${PATH}`, 'LC_ALL=C', ...program]
      execFile('nsenter', [...enter, ...clean], { timeout: COMMAND_MS }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr }),
      )
    })
  await untilStarted(run, () => words)
  const owned = stack.move()
  return {
    address: ADDRESS,
    mac: MAC,
    path: (inside) => `/proc/${pid}/root${inside}`,
    run,
    beside: (program) => {
      const child = spawn('setpriv', [
        ...['--pdeathsig', 'KILL', '--', 'nsenter', `--net=/proc/${pid}/ns/net`, ...program],
      ])
      owned.defer(() => stopChild(child))
      return child
    },
    unit: async (name) => {
      const { stdout } = await run('systemctl', 'show', name)
      const lines = stdout.split('\n').map((line) => /^(\w+)=(.*)$/.exec(line))
      return Object.fromEntries(lines.flatMap((found) => (found ? [[found[1], found[2]]] : [])))
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Of the namespaces that `unshare` makes, once systemd is it. */
async function firstProcess(unshare: ChildProcess, words: () => string): Promise<number> {
  const deadline = performance.now() + STARTED_WITHIN_MS
  const list = `/proc/${unshare.pid}/task/${unshare.pid}/children`
  while (performance.now() < deadline && unshare.exitCode === null) {
    const pid = Number((await readFile(list, 'utf8').catch(() => '')).trim())
    const program = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (pid > 0 && program.startsWith(SYSTEMD)) return pid
    await delay(50)
  }
  throw new Error(`systemd did not start: ${words()}`)
}

async function untilStarted(run: SystemdSystem['run'], words: () => string): Promise<void> {
  const deadline = performance.now() + STARTED_WITHIN_MS
  while (performance.now() < deadline) {
    const { stdout } = await run('systemctl', 'is-active', 'basic.target')
    if (stdout.trim() === 'active') return
    await delay(200)
  }
  throw new Error(`systemd has not reached basic.target: ${words()}`)
}
