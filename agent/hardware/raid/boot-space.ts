// SPDX-License-Identifier: Apache-2.0
// Owns which table the RAID members of a node get, and how it will boot, as far as their layout depends on it (contract
// 5.3.10, 7.5). Does not install a boot loader and makes no partition for one.
import { bootModeOfNode, type DiskLabel, diskLabelOfNode } from '../../core/boot-mode.ts'
import type { JsonObject } from '../../core/json.ts'
import { MiB } from '../../core/units.ts'
import { isUefi } from '../../system/efi.ts'
import type { Root } from '../../system/root.ts'

/** An ESP of 550 MiB behind the first MiB: the boot loader makes one on each member (contract 5.5). */
const UEFI_SPACE_BYTES = 551 * MiB
/** For GRUB's BIOS boot partition, which takes 1 to 7 MiB of it (contract 5.5). */
const BIOS_SPACE_BYTES = 8 * MiB

/** Between an MBR and the first partition, where GRUB lies on such a disk. */
const MBR_SPACE_BYTES = MiB

/** What lies before the members of a disk. */
export interface MemberTable {
  readonly label: DiskLabel
  /** Where the first member begins, in bytes of the disk: what lies before is table and boot loader. */
  readonly firstByte: number
}

/**
 * A GPT for UEFI, and for BIOS too unless the node has the capability disk_label:msdos. Throws
 * InvalidCommandParamsError for a boot mode or label that is none.
 */
export async function memberTableOf(
  node: JsonObject | undefined,
  root: Root,
): Promise<MemberTable> {
  const mode = bootModeOfNode(node) ?? ((await isUefi(root)) ? 'uefi' : 'bios')
  if (mode === 'uefi') return { label: 'gpt', firstByte: UEFI_SPACE_BYTES }
  if (diskLabelOfNode(node) === 'msdos') return { label: 'msdos', firstByte: MBR_SPACE_BYTES }
  return { label: 'gpt', firstByte: BIOS_SPACE_BYTES }
}
