// SPDX-License-Identifier: Apache-2.0
// Owns the tables of mounts and swap areas. Does not mount anything: the agent never does.
import type { Root } from './root.ts'

/** A row of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
export interface Mount {
  /** `major:minor` of the file system; an anonymous one (`0:…`) for btrfs, overlay and the like. */
  readonly deviceNumber: string
  readonly mountPoint: string
  readonly fsType: string
  /** Device node, or whatever the file system calls its source. */
  readonly source: string
}

/** The mounts this process sees; empty if the table cannot be read. */
export async function listMounts(root: Root): Promise<Mount[]> {
  return parseMountInfo((await root.readText('/proc/self/mountinfo')) ?? '')
}

/** Parses mountinfo: `id parent major:minor root mountpoint options optional… - type source super`. */
export function parseMountInfo(text: string): Mount[] {
  const mounts: Mount[] = []
  for (const line of text.split('\n')) {
    const [left, right] = line.split(' - ')
    const before = (left ?? '').split(' ')
    const [fsType, source] = (right ?? '').split(' ')
    const [deviceNumber, mountPoint] = [before[2], before[4]]
    if (!deviceNumber || !mountPoint || !fsType || source === undefined) continue
    mounts.push({
      deviceNumber,
      mountPoint: unescapeOctal(mountPoint),
      fsType,
      source: unescapeOctal(source),
    })
  }
  return mounts
}

/** Paths of the active swap areas (proc_swaps(5)). */
export async function listSwaps(root: Root): Promise<string[]> {
  const text = (await root.readText('/proc/swaps')) ?? ''
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.split(/\s+/)[0] ?? '')
    .filter((path) => path.startsWith('/'))
    .map(unescapeOctal)
}

/** The kernel writes space, tab, newline and backslash as `\040`. */
function unescapeOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  )
}
