// SPDX-License-Identifier: Apache-2.0
// Owns laying what the conductor answers to the lookup over the configuration (contract 2.5): it wins
// over every other place, what it does not say stays. ironic/lookup.ts reads the answer.
import type { LoadedConfig } from './load.ts'
import { rowOf } from './option-value.ts'
import { type Config, OPTIONS, type OptionName } from './options.ts'

/**
 * The warnings are those of the lookup alone.
 * @param overrides validated values by option name; keys that are no options are left out
 */
export function applyLookupOverrides(
  loaded: LoadedConfig,
  overrides: Readonly<Record<string, unknown>>,
): LoadedConfig {
  const values: Record<string, unknown> = { ...loaded.config }
  const origins: Record<string, string> = { ...loaded.origins }
  const warnings: string[] = []
  for (const [name, value] of Object.entries(overrides)) {
    if (value === undefined || !Object.hasOwn(OPTIONS, name)) continue
    values[name] = value
    origins[name] = 'lookup'
    const { noEffect, default: fallback } = rowOf(name as OptionName)
    if (noEffect && value !== fallback) {
      warnings.push(`Ironic sets ${name}, which has no effect in this version`)
    }
  }
  return {
    config: Object.freeze(values) as unknown as Config,
    origins: Object.freeze(origins) as LoadedConfig['origins'],
    warnings,
  }
}
