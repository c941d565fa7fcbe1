// SPDX-License-Identifier: Apache-2.0
// Owns how this ramdisk was booted (contract 6.1): firmware mode and the interface it came through.
import { isUefi } from '../../system/efi.ts'
import type { Root } from '../../system/root.ts'
import type { Inventory } from '../inventory.ts'

/** @param bootif the interface the ramdisk came through, as PXE, iPXE or Ironic spelt it; null if not told */
export async function readBoot(root: Root, bootif: string | null): Promise<Inventory['boot']> {
  return { current_boot_mode: (await isUefi(root)) ? 'uefi' : 'bios', pxe_interface: bootif }
}
