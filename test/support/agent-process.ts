// SPDX-License-Identifier: Apache-2.0
// Owns an agent as a process of its own: the machine it believes to run on (a file tree with its NIC),
// its options (an INI file), its log, its end. Used by the demo and by the tests with a real Ironic.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, open, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, stopChild } from './processes.ts'
import { AGENT_COMMAND } from './under-test.ts'

const PROJECT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

export interface AgentProcessOptions {
  readonly name: string
  readonly mac: string
  /** The block device (or sparse file) that is the machine's only disk. */
  readonly device: string
  readonly apiUrl: string
  /** The machine's files: os_root, run_dir, log. Kept across restarts. */
  readonly directory: string
  readonly bootMode?: 'uefi' | 'bios'
  /** The kernel line, where it is not the usual one of a deploy. */
  readonly kernelLine?: string
  /** MAC addresses of NICs besides eth0, by name. */
  readonly otherNics?: Readonly<Record<string, string>>
  /** Words before the command: those that put it into another network. */
  readonly on?: readonly string[]
  /** Rows of the option table by IPA's names. */
  readonly options?: Readonly<Record<string, string | number | boolean>>
}

export interface AgentProcess extends AsyncDisposable {
  readonly name: string
  readonly port: number
  readonly child: ChildProcess
  readonly logFile: string
  /** The tree the agent reads as `/`. */
  readonly root: string
  /** Resolves with exit code or signal name. */
  readonly exited: Promise<number | string>
  log(): Promise<string>
  /** Peak resident set so far, bytes; 0 when the process is gone. */
  peakRssBytes(): Promise<number>
}

/** Starts `ironswarm run`; a second start in the same directory is the same machine after a crash. */
export async function startAgent(options: AgentProcessOptions): Promise<AgentProcess> {
  const { directory, name } = options
  const root = join(directory, 'root')
  await mkdir(directory, { recursive: true })
  await writeMachine(root, options)
  const port = await rememberedPort(join(directory, 'port'))
  const configFile = join(directory, 'agent.conf')
  await writeFile(configFile, agentConf(options, { root, port }))
  const logFile = join(directory, 'agent.log')
  const output = await open(logFile, 'a')
  const [command, ...args] = [
    ...(options.on ?? []),
    ...AGENT_COMMAND,
    ...['run', '--config-file', configFile],
  ] as [string, ...string[]]
  const child = spawn(command, args, { cwd: PROJECT, stdio: ['ignore', output.fd, output.fd] })
  await output.close()
  const exited = new Promise<number | string>((resolve) =>
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown')),
  )
  return {
    name,
    port,
    child,
    logFile,
    root,
    exited,
    log: () => readFile(logFile, 'utf8'),
    peakRssBytes: async () => {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '')
      return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
    },
    [Symbol.asyncDispose]: () => stopChild(child),
  }
}

/** The tree the agent reads as `/`: its own NIC and kernel line, the real disks and mounts. */
async function writeMachine(root: string, options: AgentProcessOptions) {
  const { mac, apiUrl, bootMode, kernelLine, otherNics } = options
  await rm(root, { recursive: true, force: true })
  for (const [name, address] of Object.entries({ eth0: mac, ...otherNics })) {
    await writeNic(join(root, 'sys/class/net', name), address)
  }
  await mkdir(join(root, 'proc'), { recursive: true })
  // as in a ramdisk that was built with support for rescue
  await mkdir(join(root, 'etc/ipa-rescue-config'), { recursive: true })
  const line = kernelLine ?? `ipa-api-url=${apiUrl} BOOTIF=${mac}`
  await writeFile(join(root, 'proc/cmdline'), `${line}\n`)
  if (bootMode !== 'bios') await mkdir(join(root, 'sys/firmware/efi'), { recursive: true })
  for (const real of [
    'proc/self',
    'proc/swaps',
    'proc/mounts',
    'proc/meminfo',
    'proc/cpuinfo',
    'sys/block',
    'sys/class/block',
    'sys/dev',
    'sys/devices',
  ]) {
    await mkdir(dirname(join(root, real)), { recursive: true })
    await symlink(`/${real}`, join(root, real))
  }
}

async function writeNic(folder: string, mac: string) {
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'address'), `${mac}\n`)
  await writeFile(join(folder, 'carrier'), '1\n')
  await writeFile(join(folder, 'operstate'), 'up\n')
  await writeFile(join(folder, 'type'), '1\n')
}

/** A machine keeps its address when its agent restarts; the conductor refuses another callback_url. */
async function rememberedPort(file: string): Promise<number> {
  const known = Number(await readFile(file, 'utf8').catch(() => '0'))
  if (known > 0) return known
  const port = await freePort()
  await writeFile(file, String(port))
  return port
}

function agentConf(
  options: AgentProcessOptions,
  { root, port }: { root: string; port: number },
): string {
  const rows = {
    listen_host: '127.0.0.1',
    listen_port: port,
    advertise_host: '127.0.0.1',
    advertise_port: port,
    os_root: root,
    run_dir: join(options.directory, 'run'),
    block_devices: options.device,
    machine_control: 'log',
    disk_wait_attempts: 0,
    lookup_timeout: 60,
    image_download_connection_retry_interval: 1,
    debug: true,
    ...options.options,
  }
  const lines = Object.entries(rows).map(([key, value]) => `${key} = ${value}\n`)
  return `[DEFAULT]\n${lines.join('')}`
}
