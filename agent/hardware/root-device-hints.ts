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

/**
 * What a string hint is compared with; several spellings where udev and lsblk differ. A missing attribute
 * is the text `none`, so `s!= x` is true of it; only serial and wwn are lists, and an empty list matches
 * nothing (contract 5.4, by ironic-python-agent's matcher).
 */
const STRINGS_OF: Readonly<Record<StringHint, (disk: Disk) => readonly string[]>> = {
  model: ({ model }) => textOrNone(model),
  vendor: ({ vendor }) => textOrNone(vendor),
  serial: ({ serials }) => serials,
  wwn: ({ wwns }) => wwns,
  wwn_with_extension: ({ wwnWithExtension }) => textOrNone(wwnWithExtension),
  wwn_vendor_extension: ({ wwnVendorExtension }) => textOrNone(wwnVendorExtension),
  name: ({ name }) => [name],
  hctl: ({ hctl }) => textOrNone(hctl),
  by_path: ({ links, byPath }) => {
    const paths = links.filter((link) => link.includes('/by-path/'))
    return paths.length > 0 ? paths : textOrNone(byPath)
  },
  tran: ({ transport }) => textOrNone(transport),
}

function textOrNone(text: string | null): [string] {
  return [text ?? 'none']
}

/**
 * The predicate of a hint object: true for disks that satisfy all of it. Throws InvalidCommandParamsError for an
 * unknown key or a value no disk could be compared with.
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
  // a name that is a link of udev's is compared with links, and one of several words may be no link
  if (key === 'name' && String(value).includes('/dev/disk/')) {
    return (disk) => matcher([disk.name, ...disk.links])
  }
  const stringsOf = STRINGS_OF[key]
  return (disk) => matcher(stringsOf(disk))
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
 * least {@link SMALLEST_ROOT_BYTES}. Read-only media and disks that must be left alone are none.
 * Throws DeviceNotFound with the disks there are, and why one was passed over.
 */
export function chooseRootDisk(disks: readonly Disk[], hints: JsonObject | undefined): Disk {
  const usable = disks.filter((disk) => whyNoRoot(disk) === null)
  const found = hints
    ? usable.find(compileHints(hints))
    : [...usable].sort(bySizeAndName).find(isLargeEnough)
  if (found) return found
  const wanted = hints
    ? `no disk matches the root device hints ${JSON.stringify(hints)}`
    : `no disk has ${formatBytes(SMALLEST_ROOT_BYTES)} or more`
  const seen = disks.map(describe).join(', ') || 'none'
  throw new AgentError('DeviceNotFound', `${wanted}; disks of this machine: ${seen}`)
}

function whyNoRoot({ leftAlone, isReadOnly }: Disk): string | null {
  return leftAlone?.reason ?? (isReadOnly ? 'it is read-only' : null)
}

/** The disks that no entry of `properties.skip_block_devices` matches (contract 5.4). */
export function withoutSkipped(disks: readonly Disk[], skipList: readonly JsonObject[]): Disk[] {
  const isSkipped = compileSkipList(skipList)
  return disks.filter((disk) => !isSkipped(disk))
}

/**
 * The same disks; those that an entry matches are left alone and say so, and so are the members of a RAID volume
 * that an entry names, the volume, and every array that lies on one of these or on a disk that a hardware manager
 * hides: to write to it is to write to them.
 */
export function markSkipped(disks: readonly Disk[], skipList: readonly JsonObject[]): Disk[] {
  const isSkipped = compileSkipList(skipList)
  const kept = skipList.map((entry) => entry['volume_name'])
  const whyKept = (disk: Disk) => {
    if (isSkipped(disk)) return 'skip_block_devices excludes it'
    const volume = disk.raidVolumes.find((name) => kept.includes(name))
    if (volume) return `skip_block_devices names its RAID volume ${volume}`
    return disk.isHidden ? disk.leftAlone?.reason : undefined
  }
  const reasons = new Map(disks.flatMap((disk) => [[disk.name, whyKept(disk)] as const]))
  return disks.map((disk) => {
    const below = disk.liesOn.find((name) => reasons.get(name) !== undefined)
    const reason = reasons.get(disk.name) ?? (below && `it lies on ${below}: ${reasons.get(below)}`)
    return reason === undefined ? disk : { ...disk, leftAlone: { reason, isWanted: true } }
  })
}

/**
 * True for a disk that an entry matches, and for one with a partition that an entry names: neither a new
 * partition table nor an image would leave that partition's content. So for a map with a path that is named.
 */
function compileSkipList(skipList: readonly JsonObject[]): (disk: Disk) => boolean {
  const predicates = skipList
    // names a software RAID volume that is still to be made: no disk has it
    .filter((entry) => !('volume_name' in entry))
    .filter((entry) => Object.keys(entry).length > 0)
    .map((entry) => {
      const matches = compileHints(entry)
      if (!namesOne(entry)) return matches
      return (disk: Disk) =>
        matches(disk) || disk.partitions.some((part) => matches({ ...disk, ...part }))
    })
  return (disk) => predicates.some((matches) => matches(disk))
}

/** By name or place, and by what it is rather than by what it is not: every partition is not /dev/sda. */
function namesOne(entry: JsonObject): boolean {
  const words = [entry['name'], entry['by_path'], entry['hctl']].filter(
    (value) => value !== undefined,
  )
  return (
    words.length > 0 && words.every((word) => !/^\s*s?(!=|[<>]=?(?![a-z]))/i.test(String(word)))
  )
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
  const why = whyNoRoot(disk)
  const size = formatBytes(disk.sizeBytes)
  return `${disk.name} (${size}${facts && ` ${facts}`}${why === null ? '' : `; left alone: ${why}`})`
}

function invalid(details: string): AgentError {
  return new AgentError('InvalidCommandParamsError', details)
}
