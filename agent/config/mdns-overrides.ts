// SPDX-License-Identifier: Apache-2.0
// Owns which settings an answer by multicast DNS changes (contract 1.6): those of `ipa_…` that the configuration allows.
// Anybody on the network may have sent it (OSSN-0104).
import { messageOf } from '../core/errors.ts'
import { type OptionValue, parseOption, rowOf } from './option-value.ts'
import { OPTIONS, type OptionName } from './options.ts'

export interface MdnsOverrides {
  readonly values: Partial<Record<OptionName, OptionValue>>
  /** Why the others change nothing, a sentence each. */
  readonly warnings: readonly string[]
}

const PREFIX = 'ipa_'

/** @param allowed names of options; of those with a section none can be allowed, as this list itself */
export function mdnsOverrides(
  properties: ReadonlyMap<string, string>,
  allowed: readonly string[],
): MdnsOverrides {
  const values: Partial<Record<OptionName, OptionValue>> = {}
  const warnings: string[] = []
  for (const [key, text] of properties) {
    const name = key.startsWith(PREFIX) ? key.slice(PREFIX.length) : ''
    if (!Object.hasOwn(OPTIONS, name) || rowOf(name as OptionName).section !== undefined) {
      warnings.push(`mDNS names ${JSON.stringify(key)}, which is no option that it could set`)
    } else if (allowed.includes(name)) {
      try {
        values[name as OptionName] = parseOption(name as OptionName, { text, origin: 'mDNS' })
      } catch (error) {
        warnings.push(messageOf(error))
      }
    } else {
      warnings.push(`mDNS names ${name}, which is not among allowed_overrides of [mdns]`)
    }
  }
  return { values, warnings }
}
