// SPDX-License-Identifier: Apache-2.0
// Owns reading a target_raid_config: from here on it is a value, and what it asks for can be made as far as
// the configuration alone tells. Does not look at disks (plan.ts).
import { AgentError, messageOf } from '../../core/errors.ts'
import { isObject, type JsonObject } from '../../core/json.ts'
import { compileHints } from '../root-device-hints.ts'

/** Ironic's names. */
const RAID_LEVELS = ['0', '1', '1+0', '5', '6'] as const

export type RaidLevel = (typeof RAID_LEVELS)[number]

/** mdadm's word. */
export function mdLevelOf(level: RaidLevel): string {
  return level === '1+0' ? '10' : level
}

/** The fewest that make sense of a level: mdadm would take a mirror of one disk. */
export const LEAST_DISKS: Readonly<Record<RaidLevel, number>> = {
  '0': 2,
  '1': 2,
  '1+0': 2,
  '5': 3,
  '6': 4,
}

/** One array to be made. */
export interface LogicalDisk {
  /** GiB; MAX is what the others leave. */
  readonly size: number | 'MAX'
  readonly level: RaidLevel
  /** As the superblocks have it: `volume_name`, else `md0` by its place in the list. */
  readonly volumeName: string
  /** Undefined where the configuration does not say. */
  readonly isRootVolume: boolean | undefined
  /** Root device hints, one a disk; undefined: all disks. */
  readonly physicalDisks: readonly JsonObject[] | undefined
}

/** A version-1 superblock has 32 bytes for it (mdadm(8), --name), and later releases of mdadm take these alone. */
const VOLUME_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/
/** ironic-python-agent's; the loader of the second would find its root in no place it knows. */
const MOST_ARRAYS = 2

/** True if software RAID is asked for at all; other controllers are other managers' (contract 7.5). */
export function asksForSoftwareRaid(config: JsonObject): boolean {
  const disks = config['logical_disks']
  return Array.isArray(disks) && disks.some((disk) => isSoftware(disk))
}

function isSoftware(disk: unknown): boolean {
  return isObject(disk) && disk['controller'] === 'software'
}

/**
 * The arrays in the order in which they lie on the disks: one of size MAX last, whatever its place in the list.
 * @param keptVolumes names that `skip_block_devices` keeps: with any, every array needs a name of its own
 * @throws SoftwareRAIDError with everything that is wrong
 */
export function parseTargetConfig(
  config: JsonObject,
  keptVolumes: readonly string[] = [],
): LogicalDisk[] {
  const entries: unknown = config['logical_disks']
  if (!Array.isArray(entries) || entries.length === 0) {
    throw refused(['logical_disks is missing or empty; it takes 1 or 2 arrays'])
  }
  const wrong: string[] = []
  if (entries.length > MOST_ARRAYS) {
    wrong.push(`there are ${entries.length} logical disks; 1 or 2 are possible`)
  }
  const disks = entries.map((entry, i) => readLogicalDisk(entry, i, wrong))
  checkTogether(disks, entries.length, keptVolumes, wrong)
  const complete = disks.filter((disk) => disk !== undefined)
  if (wrong.length > 0 || complete.length < disks.length) throw refused(wrong)
  const inOrder = [
    ...complete.filter(({ size }) => size !== 'MAX'),
    ...complete.filter(({ size }) => size === 'MAX'),
  ]
  const named = inOrder.map((disk, i) => ({ ...disk, volumeName: disk.volumeName ?? `md${i}` }))
  for (const [i, { volumeName }] of named.entries()) {
    if (named.findIndex((disk) => disk.volumeName === volumeName) === i) continue
    throw refused([
      `${volumeName} is what a logical disk without volume_name is called by its place`,
    ])
  }
  return named
}

type Entry = Omit<LogicalDisk, 'volumeName'> & { readonly volumeName: string | undefined }

/** Undefined where so much is wrong that nothing can be said of the rest. */
function readLogicalDisk(entry: unknown, index: number, wrong: string[]): Entry | undefined {
  const where = `logical_disks[${index}]`
  const count = wrong.length
  if (!isObject(entry)) {
    wrong.push(`${where} is ${shown(entry)}; it must be an object`)
    return undefined
  }
  if (!isSoftware(entry)) {
    wrong.push(
      `${where} has controller ${shown(entry['controller'])}; where one logical disk has ` +
        `'software', all must`,
    )
  }
  const size = readSize(entry['size_gb'], where, wrong)
  const level = readLevel(entry['raid_level'], index, where, wrong)
  const volumeName = readName(entry['volume_name'], where, wrong)
  const isRootVolume = readFlag(entry['is_root_volume'], where, wrong)
  const physicalDisks = readPhysicalDisks(entry['physical_disks'], where, wrong)
  if (wrong.length > count || size === undefined || level === undefined) return undefined
  return { size, level, volumeName, isRootVolume, physicalDisks }
}

function readSize(value: unknown, where: string, wrong: string[]): number | 'MAX' | undefined {
  if (value === 'MAX') return value
  const isNumber = typeof value === 'number' || (typeof value === 'string' && /^\d+$/.test(value))
  const size = isNumber ? Number(value) : Number.NaN
  // 8 EiB are more than a disk can address
  if (Number.isInteger(size) && size > 0 && size <= 2 ** 33) return size
  wrong.push(
    `${where} has size_gb ${shown(value)}; it must be a whole number of GiB above 0, or MAX`,
  )
  return undefined
}

function readLevel(
  value: unknown,
  index: number,
  where: string,
  wrong: string[],
): RaidLevel | undefined {
  const level = RAID_LEVELS.find((known) => known === value)
  if (level === undefined) {
    wrong.push(
      `${where} has raid_level ${shown(value)}; software RAID has ${RAID_LEVELS.join(', ')}`,
    )
  } else if (index === 0 && level !== '1') {
    wrong.push(
      `${where} has raid_level ${level}; the first must be 1, since firmware and boot loader ` +
        'read one disk at a time',
    )
  }
  return level
}

function readName(value: unknown, where: string, wrong: string[]): string | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'string' && VOLUME_NAME.test(value)) return value
  wrong.push(
    `${where} has volume_name ${shown(value)}; md takes 1 to 32 letters, digits, '_', '.' and '-'`,
  )
  return undefined
}

function readFlag(value: unknown, where: string, wrong: string[]): boolean | undefined {
  if (value === undefined || value === null || typeof value === 'boolean') return value ?? undefined
  wrong.push(`${where} has is_root_volume ${shown(value)}; it must be true or false`)
  return undefined
}

function readPhysicalDisks(
  value: unknown,
  where: string,
  wrong: string[],
): readonly JsonObject[] | undefined {
  if (value === undefined || value === null) return undefined
  if (!Array.isArray(value) || value.length < 2 || !value.every(isObject)) {
    wrong.push(
      `${where} has physical_disks ${shown(value)}; it must be a list of 2 or more root device ` +
        'hints, one object a disk',
    )
    return undefined
  }
  for (const hints of value) {
    try {
      compileHints(hints)
    } catch (error) {
      wrong.push(`${where} has physical_disks that nobody understands: ${messageOf(error)}`)
    }
  }
  return value
}

function checkTogether(
  disks: readonly (Entry | undefined)[],
  count: number,
  keptVolumes: readonly string[],
  wrong: string[],
): void {
  const known = disks.filter((disk) => disk !== undefined)
  if (known.filter(({ size }) => size === 'MAX').length > 1) {
    wrong.push('more than one logical disk has size_gb MAX; only one can take what is left')
  }
  if (known.filter(({ isRootVolume }) => isRootVolume).length > 1) {
    wrong.push('more than one logical disk has is_root_volume true; there is one root disk')
  }
  const names = known.flatMap(({ volumeName }) => volumeName ?? [])
  const twice = names.filter((name, i) => names.indexOf(name) !== i)
  for (const name of new Set(twice)) {
    wrong.push(`more than one logical disk has volume_name ${name}; names must differ`)
  }
  if (keptVolumes.length > 0 && names.length < known.length && known.length === count) {
    wrong.push(
      `skip_block_devices names RAID volumes (${keptVolumes.join(', ')}), so every logical disk ` +
        'needs a volume_name; else nobody can tell which of them exist already',
    )
  }
}

function shown(value: unknown): string {
  return value === undefined ? 'missing' : JSON.stringify(value).slice(0, 200)
}

function refused(wrong: readonly string[]): AgentError {
  return new AgentError(
    'SoftwareRAIDError',
    `the RAID configuration is refused: ${wrong.join('; ')}`,
  )
}
