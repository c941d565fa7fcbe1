// SPDX-License-Identifier: Apache-2.0
// Owns what a node's dictionary says of how it boots (contract 5.3.10): capabilities, boot mode, disk label. Does not
// look at the machine.
import { AgentError } from './errors.ts'
import { isObject, isTruthyWord, type JsonObject, objectAt, stringAt } from './json.ts'

export type BootMode = 'uefi' | 'bios'
export type DiskLabel = 'gpt' | 'msdos'

/**
 * Secure boot needs UEFI; then instance_info.deploy_boot_mode, the capability boot_mode,
 * driver_internal_info.deploy_boot_mode. Null where nothing is said: it boots as the ramdisk was booted. Throws
 * InvalidCommandParamsError for a mode that is none.
 */
export function bootModeOfNode(node: JsonObject | undefined): BootMode | null {
  if (isTruthyWord(capabilityOf(node, 'secure_boot') ?? '')) return 'uefi'
  const mode =
    stringAt(objectAt(node, 'instance_info'), 'deploy_boot_mode') ??
    capabilitiesOf(objectAt(node, 'properties')['capabilities']).get('boot_mode') ??
    stringAt(objectAt(node, 'driver_internal_info'), 'deploy_boot_mode')
  return parseBootMode(mode, "the node's boot mode")
}

/** Throws InvalidCommandParamsError for a label that is none. */
export function diskLabelOfNode(node: JsonObject | undefined): DiskLabel | null {
  return parseDiskLabel(capabilityOf(node, 'disk_label'), 'capability disk_label')
}

/** @param what names it in the error. Throws InvalidCommandParamsError. */
export function parseBootMode(text: string | undefined, what: string): BootMode | null {
  const mode = text?.toLowerCase()
  if (mode === undefined || mode === 'uefi' || mode === 'bios') return mode ?? null
  throw new AgentError('InvalidCommandParamsError', `${what} must be uefi or bios, got ${mode}`)
}

/** @param what names it in the error. Throws InvalidCommandParamsError. */
export function parseDiskLabel(text: string | undefined, what: string): DiskLabel | null {
  const label = text?.toLowerCase()
  if (label === undefined || label === 'gpt' || label === 'msdos') return label ?? null
  throw new AgentError('InvalidCommandParamsError', `${what} must be gpt or msdos, got ${label}`)
}

/** The instance's before the node's own. */
function capabilityOf(node: JsonObject | undefined, name: string): string | undefined {
  const instance = capabilitiesOf(objectAt(node, 'instance_info')['capabilities'])
  return (
    instance.get(name) ?? capabilitiesOf(objectAt(node, 'properties')['capabilities']).get(name)
  )
}

/** An object, its JSON, or `key:value,key:value`; what is none of them has no capabilities. */
function capabilitiesOf(value: unknown): ReadonlyMap<string, string> {
  if (isObject(value)) {
    return new Map(Object.entries(value).map(([key, each]) => [key, String(each)]))
  }
  if (typeof value !== 'string') return new Map()
  if (value.trim().startsWith('{')) {
    try {
      return capabilitiesOf(JSON.parse(value))
    } catch {
      return new Map()
    }
  }
  const pairs = value.split(',').map((pair) => pair.split(':'))
  return new Map(pairs.map(([key = '', ...rest]) => [key.trim(), rest.join(':').trim()]))
}
