// SPDX-License-Identifier: Apache-2.0
// Owns which RAID volume is the root disk: `is_root_volume` of what was made in this boot, else of Ironic's
// raid_config (contract 5.4). Does not choose among other disks (root-device-hints.ts).
import { AgentError } from '../../core/errors.ts'
import { isObject, type JsonObject, objectAt } from '../../core/json.ts'
import type { Disk } from '../inventory.ts'
import { asksForSoftwareRaid, type LogicalDisk, parseTargetConfig } from './target-config.ts'

export interface RootVolumes {
  /** Takes note of what was just made; what was noted before is forgotten. */
  made(logicalDisks: readonly LogicalDisk[]): void
  /** Nothing is left of what was made. */
  forget(): void
  /**
   * The array that is the root disk whatever the hints say, if there is one; and the disks with those arrays left alone
   * that must not be it. Their members are held, and so are no root disks anyway.
   */
  among(
    node: JsonObject | undefined,
    disks: readonly Disk[],
  ): { readonly root: Disk | undefined; readonly disks: readonly Disk[] }
}

/** Volumes by name: true for the root volume, false for one that is not to be it. */
type Flags = ReadonlyMap<string, boolean>

/** None made yet. */
export function createRootVolumes(): RootVolumes {
  let own: Flags | undefined
  return {
    made: (logicalDisks) => {
      own = flagsOf(logicalDisks)
    },
    forget: () => {
      own = undefined
    },
    among: (node, disks) => {
      const flags = own ?? flagsOf(recordedBy(node))
      const flagOf = (disk: Disk) =>
        disk.name.startsWith('/dev/md')
          ? disk.raidVolumes.map((name) => flags.get(name)).find((flag) => flag !== undefined)
          : undefined
      const root = disks.find((disk) => flagOf(disk) === true && disk.leftAlone === null)
      // what was made in this boot must be there: another disk would be overwritten in its place
      const wanted = [...(own ?? [])].find(([, isRoot]) => isRoot)?.[0]
      if (wanted !== undefined && root === undefined) throw rootMissing(wanted, disks)
      return {
        root,
        disks: disks.map((disk) => (flagOf(disk) === false ? withoutRoot(disk) : disk)),
      }
    },
  }
}

function rootMissing(volume: string, disks: readonly Disk[]): AgentError {
  const there = disks.find(
    ({ name, raidVolumes }) => name.startsWith('/dev/md') && raidVolumes.includes(volume),
  )
  const why = there
    ? `${there.name} must be left alone: ${there.leftAlone?.reason}`
    : 'no array of that name is there'
  return new AgentError(
    'DeviceNotFound',
    `the root volume ${volume} was made in this boot, and ${why}; see /proc/mdstat for arrays that are not started`,
  )
}

function flagsOf(logicalDisks: readonly LogicalDisk[]): Flags {
  return new Map(
    logicalDisks.flatMap(({ volumeName, isRootVolume }) =>
      isRootVolume === undefined ? [] : [[volumeName, isRootVolume] as const],
    ),
  )
}

/** After another boot only Ironic knows. What cannot be read, because another agent made it, says nothing. */
function recordedBy(node: JsonObject | undefined): readonly LogicalDisk[] {
  const config = objectAt(node, 'raid_config')
  if (!isObject(config) || !asksForSoftwareRaid(config)) return []
  try {
    return parseTargetConfig(config)
  } catch {
    return []
  }
}

function withoutRoot(disk: Disk): Disk {
  if (disk.leftAlone !== null) return disk
  const reason = `its volume ${disk.raidVolumes.join(', ')} has is_root_volume false`
  return { ...disk, leftAlone: { reason, isWanted: true } }
}
