// SPDX-License-Identifier: Apache-2.0
// Owns what the generic manager adds to the log bundle (contract 5.8): the journal or /var/log, and what
// a set of commands says of the machine. Bounded in time and size; what fails is left out, and a member
// of its own says why.
import { isAgentError, messageOf } from '../../core/errors.ts'
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
/** The text of a member, or why there is none. */
type Outcome = { readonly content: string } | { readonly reason: string }

const LSBLK_COLUMNS =
  'KNAME,MODEL,SIZE,ROTA,TYPE,UUID,PARTUUID,SERIAL,WWN,LOG-SEC,PHY-SEC,TRAN,FSTYPE,LABEL,MOUNTPOINTS'

/** Member name to command; the names are IPA's. BusyBox must understand those that the ramdisk takes from it. */
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

/** Lists what was asked for and is not in the bundle, one `name: reason` per line. */
const LEFT_OUT_MEMBER = 'left_out'

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
  const exec: Exec = (argv, options) =>
    deps.exec(argv, {
      timeoutMs: COMMAND_TIMEOUT_MS,
      maxBytes: MEMBER_BYTES,
      ...options,
      signal,
    })
  const outcomes = new Map<string, Outcome>()
  await Promise.race([gather({ ...deps, exec }, outcomes, signal), aborted(signal)])
  return membersOf(outcomes)
}

/** What was collected; where something was not, a member that says so. */
function membersOf(outcomes: ReadonlyMap<string, Outcome>): LogMember[] {
  const members: LogMember[] = []
  const reasons: string[] = []
  for (const [name, outcome] of [...outcomes].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if ('content' in outcome) members.push({ name, content: outcome.content })
    else reasons.push(`${name}: ${outcome.reason}\n`)
  }
  if (reasons.length > 0) members.push({ name: LEFT_OUT_MEMBER, content: reasons.join('') })
  return members
}

interface Job {
  readonly name: string
  run(): Promise<Outcome>
}

const LATE: Outcome = { reason: 'not collected before time was up' }

async function gather(
  deps: SystemLogDeps,
  outcomes: Map<string, Outcome>,
  signal: AbortSignal,
): Promise<void> {
  const commands = Object.entries(COMMANDS).map(([name, argv]) => ({
    name,
    run: () => outputOf(deps.exec, argv),
  }))
  const mdstat = { name: 'mdstat', run: () => contentOf(deps.root, '/proc/mdstat') }
  const jobs: Job[] = [...(await logJobs(deps)), ...commands, mdstat, ...(await udevJobs(deps))]
  for (const { name } of jobs) outcomes.set(name, LATE)
  const work = async () => {
    for (let job = jobs.shift(); job && !signal.aborted; job = jobs.shift()) {
      outcomes.set(job.name, await job.run())
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

async function outputOf(exec: Exec, argv: Argv): Promise<Outcome> {
  try {
    return { content: redactText((await exec(argv)).stdout) }
  } catch (error) {
    return { reason: oneLine(isAgentError(error) ? error.details : messageOf(error)) }
  }
}

async function contentOf(root: Root, path: string): Promise<Outcome> {
  const text = await root.readText(path)
  return text === undefined ? { reason: `${path} is not there` } : { content: redactText(text) }
}

function oneLine(text: string): string {
  return redactText(text).replaceAll(/\s*\n\s*/g, ' ')
}

/** With systemd the journal, else the files of /var/log (sd_booted(3): the directory exists). */
async function logJobs({ exec, root }: SystemLogDeps): Promise<Job[]> {
  if ((await root.resolve('/run/systemd/system')) !== undefined) {
    const argv = ['journalctl', '--full', '--no-pager', '-b', `--lines=${JOURNAL_LINES}`] as const
    return [{ name: 'journal', run: () => outputOf(exec, argv) }]
  }
  const paths = await textLogs(root, '/var/log', MAX_DEPTH)
  return paths.slice(0, MAX_FILES).map((path) => ({
    name: path.slice(1),
    run: async () => {
      const argv = ['tail', '-c', `${FILE_BYTES}`, '--', root.path(path)] as const
      const outcome = await outputOf(exec, argv)
      // what is not text cannot be searched for secrets
      const isBinary = 'content' in outcome && outcome.content.includes('\0')
      return isBinary ? { reason: 'is not text' } : outcome
    },
  }))
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
    return used.map(({ kname }) => ({
      name: `udev/${kname.replaceAll('/', '!')}`,
      run: () => propertiesOf(exec, kname),
    }))
  } catch {
    return []
  }
}

async function propertiesOf(exec: Exec, kname: string): Promise<Outcome> {
  const properties = await readUdevProperties(exec, `/dev/${kname}`)
  return { content: redactText(JSON.stringify(Object.fromEntries(properties), null, 1)) }
}
