// SPDX-License-Identifier: Apache-2.0
// Owns what the generic manager adds to the log bundle (contract 5.8): the journal or /var/log, and what
// a set of commands says of the machine. Bounded in time and size; what fails is left out.
import { redactText } from '../../core/redact.ts'
import { MiB } from '../../core/units.ts'
import type { Exec } from '../../system/exec.ts'
import { listBlockDevices } from '../../system/lsblk.ts'
import type { Root } from '../../system/root.ts'
import { readUdevProperties } from '../../system/udev.ts'
import type { LogMember } from '../manager.ts'

export interface SystemLogDeps {
  readonly exec: Exec
  readonly root: Root
}

type Argv = readonly [string, ...string[]]
type TextMember = LogMember & { readonly content: string }

const LSBLK_COLUMNS =
  'KNAME,MODEL,SIZE,ROTA,TYPE,UUID,PARTUUID,SERIAL,WWN,LOG-SEC,PHY-SEC,TRAN,FSTYPE,LABEL,MOUNTPOINTS'

/** Member name to command; the names are IPA's. */
const COMMANDS: Readonly<Record<string, Argv>> = {
  df: ['df', '-a'],
  dmesg: ['dmesg'],
  efibootmgr: ['efibootmgr', '-v'],
  // -n: a resolver that does not answer must not cost a member
  iptables: ['iptables', '-L', '-n'],
  ip_addr: ['ip', 'addr'],
  lsblk: ['lsblk', '-bia', `--output=${LSBLK_COLUMNS}`],
  'lsblk-full': ['lsblk', '-bia', '--output-all'],
  lshw: ['lshw', '-quiet', '-json'],
  mount: ['mount'],
  multipath: ['multipath', '-ll'],
  parted: ['parted', '--script', '--list'],
  ps: ['ps', 'au'],
}

/** The newest lines of this boot; a talkative driver must not fill the bundle. */
const JOURNAL_LINES = 20_000
const COMMAND_TIMEOUT_MS = 15_000
const MEMBER_BYTES = 16 * MiB
/** The newest part of each file of /var/log, and how many files. */
const FILE_BYTES = 2 * MiB
const MAX_FILES = 40
const MAX_DEPTH = 4
const MAX_DISKS = 256

/** Commands run at the same time; more would only wait for the same disks. */
const CONCURRENCY = 4

/**
 * All members, by name. Never throws; when the signal aborts it ends at once with what there is, and
 * leaves a command behind that hangs in the kernel.
 */
export async function collectSystemLogs(
  deps: SystemLogDeps,
  signal: AbortSignal,
): Promise<LogMember[]> {
  const members: LogMember[] = []
  const exec: Exec = (argv, options) =>
    deps.exec(argv, {
      timeoutMs: COMMAND_TIMEOUT_MS,
      maxBytes: MEMBER_BYTES,
      ...options,
      signal,
    })
  await Promise.race([gather({ ...deps, exec }, members, signal), aborted(signal)])
  return [...members].sort((a, b) => (a.name < b.name ? -1 : 1))
}

type Job = () => Promise<LogMember | undefined>

async function gather(
  deps: SystemLogDeps,
  members: LogMember[],
  signal: AbortSignal,
): Promise<void> {
  const commands = Object.entries(COMMANDS).map(
    ([name, argv]): Job =>
      () =>
        commandMember(deps.exec, name, argv),
  )
  const mdstat: Job = () => fileMember(deps.root, 'mdstat', '/proc/mdstat')
  const jobs = [...(await logJobs(deps)), ...commands, mdstat, ...(await udevJobs(deps))]
  const work = async () => {
    for (let job = jobs.shift(); job && !signal.aborted; job = jobs.shift()) {
      const member = await job()
      if (member) members.push(member)
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, work))
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

async function commandMember(
  exec: Exec,
  name: string,
  argv: Argv,
): Promise<TextMember | undefined> {
  try {
    const { stdout } = await exec(argv)
    return { name, content: redactText(stdout) }
  } catch {
    return undefined
  }
}

async function fileMember(root: Root, name: string, path: string): Promise<LogMember | undefined> {
  const text = await root.readText(path)
  return text === undefined ? undefined : { name, content: redactText(text) }
}

/** With systemd the journal, else the files of /var/log (sd_booted(3): the directory exists). */
async function logJobs({ exec, root }: SystemLogDeps): Promise<Job[]> {
  if ((await root.resolve('/run/systemd/system')) !== undefined) {
    const argv = ['journalctl', '--full', '--no-pager', '-b', `--lines=${JOURNAL_LINES}`] as const
    return [() => commandMember(exec, 'journal', argv)]
  }
  const paths = await textLogs(root, '/var/log', MAX_DEPTH)
  return paths.slice(0, MAX_FILES).map((path) => async () => {
    const argv = ['tail', `--bytes=${FILE_BYTES}`, '--', root.path(path)] as const
    const member = await commandMember(exec, path.slice(1), argv)
    // what is not text cannot be searched for secrets
    return member?.content.includes('\0') ? undefined : member
  })
}

async function textLogs(root: Root, directory: string, depth: number): Promise<string[]> {
  const paths: string[] = []
  for (const name of await root.list(directory)) {
    const path = `${directory}/${name}`
    const isDirectory = (await root.list(path)).length > 0
    if (isDirectory && depth > 1) paths.push(...(await textLogs(root, path, depth - 1)))
    if (!isDirectory && !/\.(gz|xz|zst|bz2|journal)$/.test(name)) paths.push(path)
  }
  return paths
}

async function udevJobs({ exec }: SystemLogDeps): Promise<Job[]> {
  try {
    const rows = await listBlockDevices(exec)
    const used = rows.filter((row) => row.sizeBytes > 0).slice(0, MAX_DISKS)
    return used.map(({ kname }) => async () => {
      const properties = await readUdevProperties(exec, `/dev/${kname}`)
      const text = JSON.stringify(Object.fromEntries(properties), null, 1)
      return { name: `udev/${kname.replaceAll('/', '!')}`, content: redactText(text) }
    })
  } catch {
    return []
  }
}
