// SPDX-License-Identifier: Apache-2.0
// Owns how a node will boot, as far as the layout of its RAID members depends on it (contract 5.3.10, 7.5).
// Does not install a boot loader and makes no partition for one.
import { isObject, isTruthyWord, type JsonObject, objectAt } from '../../core/json.ts'
import { MiB } from '../../core/units.ts'
import type { Root } from '../../system/root.ts'
import { isUefi } from '../collectors/boot.ts'

/** An ESP of 550 MiB behind the first MiB: the boot loader makes one on each member (contract 5.5). */
const UEFI_SPACE_BYTES = 551 * MiB
/** For GRUB's BIOS boot partition, which takes 1 to 7 MiB of it (contract 5.5). */
const BIOS_SPACE_BYTES = 8 * MiB

/** Where the first member partition begins, in bytes of the disk: what lies before is the boot loader's. */
export async function bootSpaceOf(node: JsonObject | undefined, root: Root): Promise<number> {
  return (await bootModeOf(node, root)) === 'uefi' ? UEFI_SPACE_BYTES : BIOS_SPACE_BYTES
}

/** By what Ironic says of the node, else by how this ramdisk was booted. */
async function bootModeOf(node: JsonObject | undefined, root: Root): Promise<'uefi' | 'bios'> {
  const [instanceInfo, properties] = [objectAt(node, 'instance_info'), objectAt(node, 'properties')]
  const own = capabilitiesOf(instanceInfo['capabilities'])
  const general = capabilitiesOf(properties['capabilities'])
  if ([own, general].some((words) => isTruthyWord(words.get('secure_boot') ?? ''))) return 'uefi'
  const said =
    instanceInfo['deploy_boot_mode'] ??
    general.get('boot_mode') ??
    objectAt(node, 'driver_internal_info')['deploy_boot_mode']
  const mode = String(said).toLowerCase()
  if (mode === 'uefi' || mode === 'bios') return mode
  return (await isUefi(root)) ? 'uefi' : 'bios'
}

/** An object, its JSON, or `key:value,key:value` (contract 5.3.10). */
function capabilitiesOf(value: unknown): ReadonlyMap<string, string> {
  if (typeof value === 'string') {
    const parsed = parsedOrUndefined(value)
    if (parsed !== undefined) return capabilitiesOf(parsed)
    const words = value.split(',').map((word) => word.split(':'))
    return new Map(words.map(([key = '', ...rest]) => [key.trim(), rest.join(':').trim()]))
  }
  if (!isObject(value)) return new Map()
  return new Map(Object.entries(value).map(([key, word]) => [key, String(word)]))
}

function parsedOrUndefined(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
