// SPDX-License-Identifier: Apache-2.0
// Owns laying values over a configuration, above all what the conductor answers to the lookup (contract 2.5): it wins
// over every other place, what it does not say stays. ironic/lookup.ts reads the answer.
import type { LoadedConfig } from './load.ts'
import { rowOf } from './option-value.ts'
import { OPTIONS, type OptionName } from './options.ts'

/**
 * The warnings are those of the lookup alone.
 * @param overrides validated values by option name; keys that are no options are left out
 */
export function applyLookupOverrides(
  loaded: LoadedConfig,
  overrides: Readonly<Record<string, unknown>>,
): LoadedConfig {
  const warnings: string[] = []
  for (const [name, value] of Object.entries(overrides)) {
    if (value === undefined || !Object.hasOwn(OPTIONS, name)) continue
    const { noEffect, default: fallback } = rowOf(name as OptionName)
    if (noEffect && value !== fallback) {
      warnings.push(`Ironic sets ${name}, which has no effect in this version`)
    }
  }
  return { ...layOver(loaded, overrides, 'lookup'), warnings }
}

/**
 * The settings with these over them, and the warnings as they were.
 * @param values validated, by option name; keys that are no options are left out
 * @param origin the place that they come from
 */
export function layOver(
  loaded: LoadedConfig,
  values: Readonly<Record<string, unknown>>,
  origin: string,
): LoadedConfig {
  const known = Object.entries(values).filter(
    ([name, value]) => value !== undefined && Object.hasOwn(OPTIONS, name),
  )
  const origins = known.map(([name]) => [name, origin])
  return {
    config: Object.freeze({ ...loaded.config, ...Object.fromEntries(known) }),
    origins: Object.freeze({ ...loaded.origins, ...Object.fromEntries(origins) }),
    warnings: loaded.warnings,
  }
}
