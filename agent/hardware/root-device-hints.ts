// SPDX-License-Identifier: Apache-2.0
// Owns root device hints (contract 5.4): their keys, operators and what they match. Pure: it is given
// the disks and never looks for them.
import { AgentError } from '../core/errors.ts'
import type { JsonObject } from '../core/json.ts'
import { formatBytes, GiB } from '../core/units.ts'
import { compile, type Matcher } from './hint-expression.ts'
import type { Disk } from './inventory.ts'

/** The smallest disk taken without hints, bytes (contract 5.4). A device the operator listed needs none. */
const SMALLEST_ROOT_BYTES = 4 * GiB

type StringHint = Exclude<(typeof HINT_KEYS)[number], 'size' | 'rotational'>

/** Every hint there is. */
export const HINT_KEYS = [
  'size',
  'model',
  'vendor',
  'serial',
  'wwn',
  'wwn_with_extension',
  'wwn_vendor_extension',
  'name',
  'rotational',
  'hctl',
  'by_path',
  'tran',
] as const

/** What a string hint is compared with; several spellings where udev and lsblk differ. */
const STRINGS_OF: Readonly<Record<StringHint, (disk: Disk) => readonly (string | null)[]>> = {
  model: (disk) => [disk.model],
  vendor: (disk) => [disk.vendor],
  serial: (disk) => disk.serials,
  wwn: (disk) => disk.wwns,
  wwn_with_extension: (disk) => [disk.wwnWithExtension],
  wwn_vendor_extension: (disk) => [disk.wwnVendorExtension],
  name: (disk) => [disk.name],
  hctl: (disk) => [disk.hctl],
  by_path: (disk) => [disk.byPath],
  tran: (disk) => [disk.transport],
}

/**
 * The predicate of a hint object: true for disks that satisfy all of it. A disk without the attribute does
 * not. Throws InvalidCommandParamsError for an unknown key or a value no disk could be compared with.
 */
export function compileHints(hints: JsonObject): (disk: Disk) => boolean {
  const predicates = Object.entries(hints).map(([key, value]) => compileHint(key, value))
  return (disk) => predicates.every((matches) => matches(disk))
}

function compileHint(key: string, value: unknown): (disk: Disk) => boolean {
  if (!isHintKey(key)) {
    throw invalid(`there is no root device hint ${key}; there are ${HINT_KEYS.join(', ')}`)
  }
  if (key === 'rotational') {
    const wanted = booleanOf(value)
    return (disk) => disk.rotational === wanted
  }
  const matcher = matcherOf(key, value)
  // size is in GiB and compared as a fraction: `100` means exactly 100.0 (contract 5.4)
  if (key === 'size') return (disk) => matcher([String(disk.sizeBytes / GiB)])
  const stringsOf = STRINGS_OF[key]
  return (disk) => matcher(stringsOf(disk).filter((text) => text !== null))
}

function isHintKey(key: string): key is (typeof HINT_KEYS)[number] {
  return HINT_KEYS.some((known) => known === key)
}

function matcherOf(key: string, value: unknown): Matcher {
  const isNumber = key === 'size'
  if (typeof value !== 'string' && !(isNumber && typeof value === 'number')) {
    throw invalid(`root device hint ${key} must be ${isNumber ? 'a number or ' : ''}a string`)
  }
  try {
    return compile(String(value), isNumber ? 'number' : 'string')
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw invalid(`root device hint ${key}: ${reason}`)
  }
}

/** oslo's strict booleans: anything else is an error, not false. */
function booleanOf(value: unknown): boolean {
  const word = String(value).trim().toLowerCase()
  if (['1', 't', 'true', 'on', 'y', 'yes'].includes(word)) return true
  if (['0', 'f', 'false', 'off', 'n', 'no'].includes(word)) return false
  throw invalid(`root device hint rotational must be true or false, got ${JSON.stringify(value)}`)
}

/**
 * The root disk: the first that matches the hints; without hints the smallest, then first by name, of at
 * least {@link SMALLEST_ROOT_BYTES}. Throws DeviceNotFound with the disks there are.
 */
export function chooseRootDisk(disks: readonly Disk[], hints: JsonObject | undefined): Disk {
  const found = hints
    ? disks.find(compileHints(hints))
    : [...disks].sort(bySizeAndName).find(isLargeEnough)
  if (found) return found
  const wanted = hints
    ? `no disk matches the root device hints ${JSON.stringify(hints)}`
    : `no disk has ${formatBytes(SMALLEST_ROOT_BYTES)} or more`
  const seen = disks.map(describe).join(', ') || 'none'
  throw new AgentError('DeviceNotFound', `${wanted}; disks of this machine: ${seen}`)
}

/** The disks that no entry of `properties.skip_block_devices` matches (contract 5.4). */
export function withoutSkipped(disks: readonly Disk[], skipList: readonly JsonObject[]): Disk[] {
  const predicates = skipList
    // names a software RAID volume that is still to be made: no disk has it
    .filter((entry) => !('volume_name' in entry))
    .filter((entry) => Object.keys(entry).length > 0)
    .map(compileHints)
  return disks.filter((disk) => !predicates.some((matches) => matches(disk)))
}

function isLargeEnough(disk: Disk): boolean {
  return disk.isListed || disk.sizeBytes >= SMALLEST_ROOT_BYTES
}

function bySizeAndName(a: Disk, b: Disk): number {
  if (a.sizeBytes !== b.sizeBytes) return a.sizeBytes - b.sizeBytes
  return a.name < b.name ? -1 : Number(a.name > b.name)
}

function describe(disk: Disk): string {
  const facts = [disk.model, disk.serial].filter((fact) => fact !== null).join(' ')
  return `${disk.name} (${formatBytes(disk.sizeBytes)}${facts && ` ${facts}`})`
}

function invalid(details: string): AgentError {
  return new AgentError('InvalidCommandParamsError', details)
}
