// SPDX-License-Identifier: Apache-2.0
// Owns which disks the arrays of a configuration take and where their partitions lie on them. Pure: it is
// given the disks. Does not write.
import type { DiskLabel } from '../../core/boot-mode.ts'
import { AgentError } from '../../core/errors.ts'
import type { DiskRange } from '../../core/extent.ts'
import type { JsonObject } from '../../core/json.ts'
import { formatBytes, GiB, MiB, roundDown } from '../../core/units.ts'
import { isMap } from '../collectors/multipath.ts'
import type { Disk } from '../inventory.ts'
import { compileHints } from '../root-device-hints.ts'
import type { MemberTable } from './boot-space.ts'
import { LEAST_DISKS, type LogicalDisk } from './target-config.ts'

export interface RaidPlan {
  readonly disks: readonly MemberDisk[]
  readonly arrays: readonly PlannedArray[]
}

/** A disk with its partitions, each of which is a member. */
export interface MemberDisk {
  readonly disk: Disk
  readonly label: DiskLabel
  /** In bytes of the disk; the first is partition 1. */
  readonly partitions: readonly MemberPartition[]
}

export interface MemberPartition {
  readonly range: DiskRange
  readonly volumeName: string
}

export interface PlannedArray {
  readonly logicalDisk: LogicalDisk
  readonly members: readonly { readonly disk: string; readonly partition: number }[]
}

/** An MBR counts sectors in 32 bits. */
const MBR_SECTORS = 2 ** 32
/** Less holds no superblock, bitmap and data that anybody would want. */
const LEAST_MEMBER_BYTES = 16 * MiB

/**
 * The members of each array. Sizes end at whole GiB of the disk, as ironic-python-agent's do: what lies before
 * the first partition is taken from it.
 * @param disks all disks of the machine but arrays; those of `physical_disks` are the first that match
 * @param table of each disk, with the room before the first partition
 * @throws SoftwareRAIDError
 */
export function planRaid(
  disks: readonly Disk[],
  logicalDisks: readonly LogicalDisk[],
  table: MemberTable,
): RaidPlan {
  const members = new Map<string, OpenMember>()
  const arrays = logicalDisks.map((logicalDisk): PlannedArray => {
    const chosen = chooseDisks(disks, logicalDisk)
    return {
      logicalDisk,
      members: chosen.map((disk) => {
        const member = members.get(disk.name) ?? { disk, label: table.label, partitions: [] }
        members.set(disk.name, member)
        const range = nextRange(member, logicalDisk, table)
        member.partitions.push({ range, volumeName: logicalDisk.volumeName })
        return { disk: disk.name, partition: member.partitions.length }
      }),
    }
  })
  return { disks: [...members.values()], arrays }
}

type OpenMember = Omit<MemberDisk, 'partitions'> & { readonly partitions: MemberPartition[] }

function chooseDisks(disks: readonly Disk[], logicalDisk: LogicalDisk): readonly Disk[] {
  const { physicalDisks, volumeName, level } = logicalDisk
  const chosen = physicalDisks ? disksByHints(disks, physicalDisks, volumeName) : allDisks(disks)
  for (const disk of chosen) assertFree(disk)
  const least = LEAST_DISKS[level]
  if (chosen.length >= least) return chosen
  throw refused(
    `${volumeName} is RAID ${level}, which takes ${least} disks or more; there ` +
      `${chosen.length === 1 ? 'is' : 'are'} ${chosen.length}: ${chosen.map(describe).join(', ') || 'none'}`,
  )
}

/** Those that the operator keeps are no part of it; any other that is not free is an error, not left out in silence. */
function allDisks(disks: readonly Disk[]): readonly Disk[] {
  return disks.filter(({ leftAlone, isReadOnly }) => !isReadOnly && !leftAlone?.isWanted)
}

function disksByHints(
  disks: readonly Disk[],
  physicalDisks: readonly JsonObject[],
  volumeName: string,
): readonly Disk[] {
  const chosen: Disk[] = []
  for (const hints of physicalDisks) {
    const fitting = disks.filter(compileHints(hints))
    const found = fitting.find((disk) => !chosen.includes(disk))
    if (found === undefined) {
      const words = JSON.stringify(hints)
      const others = fitting.length > 0 ? ' but those that earlier hints have taken' : ''
      const all = disks.map(describe).join(', ') || 'none'
      throw refused(
        `no disk for ${volumeName} matches ${words}${others}; disks of this machine: ${all}`,
      )
    }
    chosen.push(found)
  }
  return chosen
}

function assertFree(disk: Disk): void {
  if (disk.isReadOnly) throw refused(`${disk.name} is read-only`)
  if (isMap(disk.name)) {
    throw refused(
      `${disk.name} is a multipath disk, of which the kernel shows no partitions to be members; its storage has RAID of ` +
        'its own, choose others by physical_disks',
    )
  }
  if (disk.leftAlone === null) return
  const way = disk.leftAlone.isWanted
    ? 'choose others by physical_disks'
    : 'run delete_configuration first, or choose others by physical_disks'
  throw refused(`${disk.name} is not free for an array: ${disk.leftAlone.reason}; ${way}`)
}

function nextRange(
  { disk, partitions }: MemberDisk,
  { size, volumeName }: LogicalDisk,
  { label, firstByte }: MemberTable,
): DiskRange {
  // the last MiB holds the backup GPT
  const limit = roundDown(disk.sizeBytes - MiB, MiB)
  const last = partitions.at(-1)?.range
  const offset = last ? last.offset + last.length : firstByte
  const end = size === 'MAX' ? limit : (last ? offset : 0) + size * GiB
  const reach = MBR_SECTORS * (disk.logicalSectorBytes ?? 512)
  if (label === 'msdos' && end > reach) {
    throw refused(
      `${volumeName} would end at ${formatBytes(end)} of ${describe(disk)}, and an MBR reaches ${formatBytes(reach)}; ` +
        'use a GPT (capability disk_label:gpt), or ask for less',
    )
  }
  const free = Math.max(0, limit - offset)
  if (end <= limit && end - offset >= LEAST_MEMBER_BYTES) return { offset, length: end - offset }
  const wanted = size === 'MAX' ? `at least ${formatBytes(LEAST_MEMBER_BYTES)}` : `${size} GiB`
  throw refused(
    `${volumeName} takes ${wanted} of each of its disks, and ${describe(disk)} has ` +
      `${formatBytes(free)} left behind ${formatBytes(offset)} for boot loader and other arrays; ` +
      'ask for less, for MAX, or for other disks',
  )
}

function describe({ name, sizeBytes, model }: Disk): string {
  return `${name} (${formatBytes(sizeBytes)}${model === null ? '' : ` ${model}`})`
}

function refused(details: string): AgentError {
  return new AgentError('SoftwareRAIDError', details)
}
