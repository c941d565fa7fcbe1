// SPDX-License-Identifier: Apache-2.0
// Owns how a node will boot, as far as the layout of its RAID members depends on it (contract 5.3.10, 7.5).
// Does not install a boot loader and makes no partition for one.
import { bootModeOfNode } from '../../core/boot-mode.ts'
import type { JsonObject } from '../../core/json.ts'
import { MiB } from '../../core/units.ts'
import { isUefi } from '../../system/efi.ts'
import type { Root } from '../../system/root.ts'

/** An ESP of 550 MiB behind the first MiB: the boot loader makes one on each member (contract 5.5). */
const UEFI_SPACE_BYTES = 551 * MiB
/** For GRUB's BIOS boot partition, which takes 1 to 7 MiB of it (contract 5.5). */
const BIOS_SPACE_BYTES = 8 * MiB

/** Where the first member partition begins, in bytes of the disk: what lies before is the boot loader's. */
export async function bootSpaceOf(node: JsonObject | undefined, root: Root): Promise<number> {
  const mode = bootModeOfNode(node) ?? ((await isUefi(root)) ? 'uefi' : 'bios')
  return mode === 'uefi' ? UEFI_SPACE_BYTES : BIOS_SPACE_BYTES
}
