// SPDX-License-Identifier: Apache-2.0
// Owns which arrays of a configuration are there already, and whether they are what it asks for. Pure: it is given
// arrays and disks. Does not make any.
import { AgentError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import { blockDevicePath } from '../../system/sysfs.ts'
import type { Disk } from '../inventory.ts'
import { compileHints } from '../root-device-hints.ts'
import { fatesOf, type MdArray } from './arrays.ts'
import { type LogicalDisk, mdLevelOf } from './target-config.ts'

export interface Existing {
  readonly arrays: readonly MdArray[]
  /** Those that arrays may be made of. */
  readonly disks: readonly Disk[]
  /** `volume_name` entries of `skip_block_devices`. */
  readonly keptNames: readonly string[]
}

/**
 * What is not there yet. An array may be there already where `skip_block_devices` keeps it, or one on its disks
 * (contract 7.5); then it must be what is asked for, since Ironic stores the configuration as what the node has.
 * Throws SoftwareRAIDError for one that is not, and for any other array: it would have to be deleted first.
 */
export function missingOf(
  wanted: readonly LogicalDisk[],
  { arrays, disks, keptNames }: Existing,
): readonly LogicalDisk[] {
  if (keptNames.length === 0) return wanted
  const fates = fatesOf(arrays, keptNames, new Set())
  for (const { kname, path, name } of arrays) {
    if (fates.get(kname) !== 'delete') continue
    throw refused(
      `${path} (${name ?? 'without a name'}) is an array that skip_block_devices does not keep ` +
        `(it keeps ${keptNames.join(', ')}); run delete_configuration first`,
    )
  }
  return wanted.filter((logicalDisk) => {
    const named = arrays.filter(({ name }) => name === logicalDisk.volumeName)
    for (const array of named) assertAsAsked(array, logicalDisk, disks)
    return named.length === 0
  })
}

function assertAsAsked(array: MdArray, wanted: LogicalDisk, disks: readonly Disk[]): void {
  const wrong = whatDiffers(array, wanted, disks)
  if (wrong === undefined) return
  throw refused(
    `${array.path} has the volume_name ${wanted.volumeName} and is kept by skip_block_devices, but ${wrong}; ` +
      'mend it by mdadm, ask for what is there, or take its name out of skip_block_devices and run delete_configuration',
  )
}

function whatDiffers(
  { isActive, level, memberCount, members, faulty, disks: own }: MdArray,
  { level: wanted, physicalDisks }: LogicalDisk,
  disks: readonly Disk[],
): string | undefined {
  if (!isActive) return `it is not started: of its members only ${members.join(', ')} are there`
  const wantedLevel = `raid${mdLevelOf(wanted)}`
  if (level !== wantedLevel) return `it is ${level} and not ${wantedLevel}`
  const working = members.filter((member) => !faulty.includes(member))
  if (working.length < memberCount) {
    return `${working.length} of its ${memberCount} members work: ${working.join(', ') || 'none'}`
  }
  const others = physicalDisks === undefined ? [] : unasked(own, physicalDisks, disks)
  if (others.length > 0) return `it lies on ${others.join(', ')}, which no physical_disks ask for`
  if (physicalDisks === undefined || physicalDisks.length === own.length) return undefined
  return `it lies on ${own.length} disks, and physical_disks ask for ${physicalDisks.length}`
}

/** Its disks that satisfy none of the hints. */
function unasked(
  own: readonly string[],
  physicalDisks: readonly JsonObject[],
  disks: readonly Disk[],
): string[] {
  const matchers = physicalDisks.map(compileHints)
  return own.map(blockDevicePath).filter((path) => {
    const disk = disks.find(({ name }) => name === path)
    return disk === undefined || !matchers.some((matches) => matches(disk))
  })
}

function refused(details: string): AgentError {
  return new AgentError('SoftwareRAIDError', details)
}
