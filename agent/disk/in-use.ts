// SPDX-License-Identifier: Apache-2.0
// Owns the question whether something uses a disk: mounts, swap, devices stacked on it, loop devices
// backed by it. O_EXCL is the kernel's own answer; this one says who it is.
import { realpath } from 'node:fs/promises'
import { AgentError } from '../core/errors.ts'
import { listMounts, listSwaps, type Mount } from '../system/mounts.ts'
import { createRoot, type Root } from '../system/root.ts'
import { type FileSystem, listFileSystems } from '../system/scratch.ts'
import {
  blockDeviceAt,
  listHolders,
  listKernelPartitions,
  listLoopBackings,
  type SysfsBlockDevice,
} from '../system/sysfs.ts'

/** Throws TargetInUseError if `path` or a partition on it is mounted, swapped on, or held. */
export async function assertNotInUse(root: Root, path: string): Promise<void> {
  // a thread of its own, which takes a while to start
  const fileSystems = listFileSystems().catch(() => [])
  const uses = await listUses(root, path)
  if (uses.length > 0) throw inUseError(path, uses)
  const mounted = await listMountedByDf(root, path, await fileSystems)
  if (mounted.length > 0) throw inUseError(path, mounted)
}

/**
 * The second opinion: df asks the file systems themselves, by another way than mountinfo. A df that is
 * missing or does not answer says nothing about the disk; then O_EXCL decides alone.
 */
async function listMountedByDf(
  root: Root,
  path: string,
  fileSystems: readonly FileSystem[],
): Promise<string[]> {
  const device = await blockDeviceAt(root, path)
  if (device === undefined) return []
  const parts = [device, ...(await listKernelPartitions(root, device))]
  const numbers = new Set(parts.map((part) => part.deviceNumber))
  const uses: string[] = []
  for (const { source, mountPoint } of fileSystems) {
    if (!source.startsWith('/dev/')) continue
    const mounted = await blockDeviceAt(root, source)
    if (mounted !== undefined && numbers.has(mounted.deviceNumber))
      uses.push(`${source} is mounted at ${mountPoint}`)
  }
  return uses
}

/** The error for a device that is in use; `uses` may be empty when only the kernel knows. */
export function inUseError(path: string, uses: readonly string[], cause?: unknown): AgentError {
  const who =
    uses.length > 0
      ? uses.join('; ')
      : 'the kernel refuses exclusive access (another program has it open exclusively)'
  return new AgentError(
    'TargetInUseError',
    `${path} is in use: ${who}. Release it, or exclude the device with skip_block_devices`,
    { cause },
  )
}

/**
 * What uses a block device or the regular file that stands in for one, one phrase per use.
 * A root without a mount table is a fixture of something else (interfaces, say): then the machine's own
 * tables are asked, because `path` lies on this machine.
 */
export async function listUses(given: Root, path: string): Promise<string[]> {
  const root = await rootWithMounts(given)
  const uses = await listLoopUses(root, path)
  const device = await blockDeviceAt(root, path)
  if (device === undefined) return uses
  const mounts = await listMounts(root)
  const swaps = await numberedSwaps(root)
  for (const part of [device, ...(await listKernelPartitions(root, device))]) {
    const node = `/dev/${part.name}`
    for (const mount of mounts) {
      if (await isMountOf(root, mount, part)) uses.push(`${node} is mounted at ${mount.mountPoint}`)
    }
    if (swaps.has(part.deviceNumber)) uses.push(`${node} is swap space`)
    const holders = await listHolders(root, part)
    if (holders.length > 0) uses.push(`${node} is part of ${holders.join(', ')}`)
  }
  return uses
}

async function rootWithMounts(root: Root): Promise<Root> {
  const hasTable = (await root.readText('/proc/self/mountinfo')) !== undefined
  return hasTable ? root : createRoot('/')
}

/** btrfs and the like have an anonymous device number; their source names the node. */
async function isMountOf(root: Root, mount: Mount, device: SysfsBlockDevice): Promise<boolean> {
  if (mount.deviceNumber === device.deviceNumber) return true
  if (!mount.source.startsWith('/dev/')) return false
  return (await blockDeviceAt(root, mount.source))?.deviceNumber === device.deviceNumber
}

async function numberedSwaps(root: Root): Promise<Set<string>> {
  const areas = await Promise.all((await listSwaps(root)).map((path) => blockDeviceAt(root, path)))
  return new Set(areas.filter((area) => area !== undefined).map((area) => area.deviceNumber))
}

/** A loop device backed by the target writes to it behind our back; O_EXCL does not see that. */
async function listLoopUses(root: Root, path: string): Promise<string[]> {
  let real: string
  try {
    real = await realpath(path)
  } catch {
    return []
  }
  const loops = (await listLoopBackings(root)).filter(({ file }) => file === real)
  return loops.map(({ name }) => `${real} is the backing file of /dev/${name}`)
}
