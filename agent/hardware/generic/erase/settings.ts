// SPDX-License-Identifier: Apache-2.0
// Owns what is said of how disks are to be erased: by Ironic in fields of driver_internal_info (contract 7.3, 8.6), by
// arguments of the step, by options.
import type { Config } from '../../../config/options.ts'
import { AgentError } from '../../../core/errors.ts'
import { isTruthyWord, type JsonObject, objectAt } from '../../../core/json.ts'
import { NVME_METHODS, type NvmeMethod } from './nvme.ts'
import { VERIFICATIONS, type Verification } from './proof.ts'

export interface EraseSettings {
  readonly usesAtaSecureErase: boolean
  readonly usesNvmeSecureErase: boolean
  /** Overwrite the disk where a secure erase failed; else the step fails. */
  readonly goesOnAfterFailure: boolean
  readonly randomPasses: number
  readonly endsWithZeros: boolean
  readonly skipsReadOnly: boolean
  /** Disks erased at once. */
  readonly concurrency: number
  readonly verification: Verification
  readonly nvmeMethod: NvmeMethod
  /** A disk whose secure erase failed may be discarded instead. */
  readonly usesDiscard: boolean
}

/** Where Ironic and the step say nothing. */
export type EraseDefaults = Pick<
  Config,
  'erase_verify' | 'nvme_erase_method' | 'enable_discard_erase'
>

/** shred's own limit is far higher, but each pass of a 20 TB disk takes a day. */
const MOST_PASSES = 100
const MOST_AT_ONCE = 64

/** Defaults are ironic-python-agent's. Throws InvalidCommandParamsError. */
export function readEraseSettings(
  node: JsonObject | undefined,
  defaults: EraseDefaults,
  args: JsonObject = {},
): EraseSettings {
  const fields = objectAt(node, 'driver_internal_info')
  const flag = (name: string, absent: boolean) => {
    const value = fields[name] ?? absent
    if (typeof value === 'boolean') return value
    return isTruthyWord(String(value))
  }
  const count = (name: string, absent: number, least: number, most: number) => {
    const value = Number(fields[name] ?? absent)
    if (Number.isInteger(value) && value >= least && value <= most) return value
    throw new AgentError(
      'InvalidCommandParamsError',
      `driver_internal_info.${name} must be a whole number from ${least} to ${most}`,
    )
  }
  return {
    usesAtaSecureErase: flag('agent_enable_ata_secure_erase', true),
    usesNvmeSecureErase: flag('agent_enable_nvme_secure_erase', true),
    goesOnAfterFailure:
      flag('agent_continue_if_secure_erase_failed', false) ||
      flag('agent_continue_if_ata_erase_failed', false),
    randomPasses: count('agent_erase_devices_iterations', 1, 0, MOST_PASSES),
    endsWithZeros: flag('agent_erase_devices_zeroize', true),
    skipsReadOnly: flag('agent_erase_skip_read_only', false),
    concurrency: count('disk_erasure_concurrency', 1, 1, MOST_AT_ONCE),
    verification: oneOf('verify', args, VERIFICATIONS, defaults.erase_verify),
    nvmeMethod: oneOf('nvme_erase_method', args, NVME_METHODS, defaults.nvme_erase_method),
    usesDiscard: flag('agent_enable_discard_erase', defaults.enable_discard_erase),
  }
}

/** Throws InvalidCommandParamsError. */
function oneOf<T extends string>(
  name: string,
  args: JsonObject,
  values: readonly T[],
  absent: T,
): T {
  const value = args[name] ?? absent
  const found = values.find((each) => each === value)
  if (found !== undefined) return found
  throw new AgentError('InvalidCommandParamsError', `${name} must be one of ${values.join(', ')}`)
}
