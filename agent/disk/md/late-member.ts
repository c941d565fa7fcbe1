// SPDX-License-Identifier: Apache-2.0
// Owns what becomes of a partition that comes to a mirror later: a place of its own and the whole content, so that
// firmware finds on it what the others have. Does not choose the partition.
import { writeFile } from 'node:fs/promises'
import { sleep, throwIfAborted } from '../../core/deadline.ts'
import { AgentError } from '../../core/errors.ts'
import type { EventPublisher } from '../../core/events.ts'
import { formatBytes } from '../../core/units.ts'
import type { Root } from '../../system/root.ts'
import { blockDeviceDirectory } from '../../system/sysfs.ts'
import { createProgressMeter } from '../../telemetry/progress-meter.ts'
import { addMember, growArray, type MdadmDeps } from './mdadm.ts'
import { readSync, type Sync } from './sync.ts'

export interface LateMemberDeps extends MdadmDeps {
  readonly root: Root
  /** Hears how far the copy is. */
  readonly events: EventPublisher
}

/** Half of what Ironic waits for a boot loader; 550 MiB at twice the rate below which md never goes. */
const COPY_TIMEOUT_MS = 300_000
const LOOK_INTERVAL_MS = 500

/**
 * Gives the mirror a place for each of `members` and resolves when all of them hold what it holds. `late` are those that
 * it has not got yet; one that was added before, and is a spare, gets its place too. The copy is not queued behind
 * that of another array of these disks, which may take hours (Documentation/admin-guide/md.rst, sync_force_parallel).
 * @param mirror `/dev/md1`
 * @param members nodes of partitions, `/dev/sda3`
 * @throws DeploymentError where that is no mirror, md gives one up, or the copy has not ended after 300 s; ProcessError
 */
export async function addLateMembers(
  deps: LateMemberDeps,
  mirror: string,
  { members, late }: { readonly members: readonly string[]; readonly late: readonly string[] },
): Promise<void> {
  const md = `${blockDeviceDirectory(nameOf(mirror))}/md`
  // `2 (1)` while it changes
  const places = Number.parseInt((await deps.root.readText(`${md}/raid_disks`)) ?? '', 10)
  // an array without redundancy has no such file
  const parallel = writeFile(deps.root.path(`${md}/sync_force_parallel`), '1', { flag: 'r+' })
  await parallel.catch((cause: unknown) => {
    throw noMirror(mirror, members, cause)
  })
  for (const node of late) await addMember(deps, mirror, node)
  if (places < members.length) await growArray(deps, mirror, members.length)
  await untilInSync(deps, mirror, members)
}

async function untilInSync(
  { root, signal, events }: LateMemberDeps,
  mirror: string,
  members: readonly string[],
): Promise<void> {
  const end = performance.now() + COPY_TIMEOUT_MS
  using meter = createProgressMeter({ now: () => performance.now(), events })
  let total = 0
  for (;;) {
    throwIfAborted(signal)
    const waiting = []
    for (const node of members) if (!(await isInSync(root, mirror, node))) waiting.push(node)
    if (waiting.length === 0) return
    const sync = await readSync(root, nameOf(mirror))
    if (performance.now() >= end) throw late(mirror, waiting, sync)
    if (sync !== undefined && sync.totalBytes > total) {
      total = sync.totalBytes
      meter.begin('sync', total, { done: sync.doneBytes, subject: mirror })
    }
    meter.reach(sync?.doneBytes ?? 0)
    await sleep(LOOK_INTERVAL_MS, signal)
  }
}

async function isInSync(root: Root, mirror: string, node: string): Promise<boolean> {
  const directory = `${blockDeviceDirectory(nameOf(mirror))}/md/dev-${nameOf(node)}`
  const words = (await root.readText(`${directory}/state`))?.split(',') ?? []
  if (words.length > 0 && !words.includes('faulty')) return words.includes('in_sync')
  throw new AgentError(
    'DeploymentError',
    `md has given up ${node} of the mirror ${mirror}, whose content it was to get; see dmesg, and replace the disk`,
  )
}

function late(mirror: string, waiting: readonly string[], sync: Sync | undefined): AgentError {
  const done = sync
    ? `${formatBytes(sync.doneBytes)} of ${formatBytes(sync.totalBytes)}`
    : 'nothing'
  return new AgentError(
    'DeploymentError',
    `${waiting.join(', ')} has not got the content of the mirror ${mirror} in ${COPY_TIMEOUT_MS / 1000} s ` +
      `(done: ${done}); see /proc/mdstat, and ask again when it has`,
  )
}

function noMirror(holder: string, members: readonly string[], cause: unknown): AgentError {
  return new AgentError(
    'DeploymentError',
    `${members.join(', ')} are to be in ${holder}, which is no mirror of md; run delete_configuration`,
    { cause },
  )
}

function nameOf(path: string): string {
  return path.slice('/dev/'.length)
}
