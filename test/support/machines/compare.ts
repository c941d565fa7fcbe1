// SPDX-License-Identifier: Apache-2.0
// Owns telling two inspections of one machine apart, key by key. Lists whose members have names are compared by name, since
// the order of directories is nobody's.
import { isObject } from '../../../agent/core/json.ts'

export interface KeyDifference {
  /** `inventory.interfaces[].speed_mbps`. */
  readonly key: string
  /** Which member of the lists: `ens2`; empty where there is no list on the way. */
  readonly member: string
  /** Undefined where it is not there at all. */
  readonly theirs: unknown
  readonly ours: unknown
}

export interface Answers {
  readonly inspected: Readonly<Record<string, unknown>>
  readonly withoutBmc: Readonly<Record<string, unknown>>
}

/** In the order of keys. The root disk is one of the inventory's, and is compared by its name. */
export function compareInspections(theirs: Answers, ours: Answers): KeyDifference[] {
  const [a, b] = [theirs, ours].map(({ inspected, withoutBmc }) => {
    const disk = inspected['root_disk']
    return {
      ...inspected,
      root_disk: isObject(disk) ? disk['name'] : disk,
      'without BMC': withoutBmc,
    }
  })
  return differencesAt('', '', a, b)
}

function differencesAt(
  key: string,
  member: string,
  theirs: unknown,
  ours: unknown,
): KeyDifference[] {
  if (isObject(theirs) && isObject(ours)) {
    const names = [...new Set([...Object.keys(theirs), ...Object.keys(ours)])].sort()
    return names.flatMap((name) =>
      differencesAt(key === '' ? name : `${key}.${name}`, member, theirs[name], ours[name]),
    )
  }
  if (Array.isArray(theirs) && Array.isArray(ours) && [...theirs, ...ours].every(isObject)) {
    const [a, b] = [byName(theirs), byName(ours)]
    return [...new Set([...a.keys(), ...b.keys()])].sort().flatMap((name) => {
      const way = [member, name].filter((part) => part !== '').join(' ')
      return differencesAt(`${key}[]`, way, a.get(name), b.get(name))
    })
  }
  return isSame(theirs, ours) ? [] : [{ key, member, theirs, ours }]
}

function isSame(theirs: unknown, ours: unknown): boolean {
  const [a, b] = [theirs, ours].map((value) =>
    JSON.stringify(
      Array.isArray(value) && value.every((one) => typeof one === 'number')
        ? [...value].sort()
        : value,
    ),
  )
  return a === b
}

/** What names a member, in this order; without any of them its place does. */
const NAMES = ['name', 'bus', 'handle', 'Handle'] as const

function byName(members: readonly unknown[]): Map<string, unknown> {
  return new Map(
    members.filter(isObject).map((member, place) => {
      const named = NAMES.find((name) => typeof member[name] === 'string')
      if (named !== undefined) return [String(member[named]), member]
      if ('numa_node' in member)
        return [`node ${member['numa_node']} core ${member['cpu'] ?? '-'}`, member]
      return [`${place}`, member]
    }),
  )
}
