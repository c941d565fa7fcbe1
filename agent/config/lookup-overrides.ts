// SPDX-License-Identifier: Apache-2.0
// Owns what the conductor's lookup answer changes in the configuration (contract 2.5). It wins over
// every other place; what it does not say stays. Does not do the lookup.
import { isObject } from '../core/json.ts'
import type { LoadedConfig } from './load.ts'
import { type Config, OPTIONS, type OptionName } from './options.ts'

interface Override {
  readonly option: OptionName
  /** The new value, or undefined to leave the option alone. */
  readonly accept: (value: unknown) => Config[OptionName] | undefined
}

const boolean = (value: unknown) => (typeof value === 'boolean' ? value : undefined)
const textList = (value: unknown) =>
  Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined

/** Contract 2.5, row by row, as far as an option of ours exists. */
const OVERRIDES: Readonly<Record<string, Override>> = {
  agent_md5_checksum_enable: { option: 'md5_enabled', accept: boolean },
  disable_deep_image_inspection: { option: 'disable_deep_image_inspection', accept: boolean },
  permitted_image_formats: { option: 'permitted_image_formats', accept: textList },
  // only a true counts: the operator of the ramdisk may have switched it on
  enable_bios_bootloader_install: {
    option: 'enable_bios_bootloader_install',
    accept: (value) => (value === true ? true : undefined),
  },
  tls_min_version: {
    option: 'tls_min_version',
    accept: (value) => OPTIONS.tls_min_version.values.find((version) => version === value),
  },
}

/** @param answer `config` of the lookup response; anything malformed in it is left out */
export function applyLookupConfig(loaded: LoadedConfig, answer: unknown): LoadedConfig {
  const values: Record<string, unknown> = { ...loaded.config }
  const origins: Record<string, string> = { ...loaded.origins }
  for (const [key, { option, accept }] of Object.entries(OVERRIDES)) {
    const value = accept(isObject(answer) ? answer[key] : undefined)
    if (value === undefined) continue
    values[option] = value
    origins[option] = `lookup (${key})`
  }
  return {
    config: Object.freeze(values) as unknown as Config,
    origins: origins as LoadedConfig['origins'],
    warnings: loaded.warnings,
  }
}
