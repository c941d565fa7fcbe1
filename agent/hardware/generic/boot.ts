// SPDX-License-Identifier: Apache-2.0
// Owns how this ramdisk was booted (contract 6.1): firmware mode and the interface it came through.
import type { Root } from '../../system/root.ts'
import type { Inventory } from '../inventory.ts'

/**
 * `uefi` where the kernel offers EFI runtime services.
 * @param bootif MAC of the interface the ramdisk came through, lower case with colons; null if not told
 */
export async function readBoot(root: Root, bootif: string | null): Promise<Inventory['boot']> {
  const isUefi = (await root.list('/sys/firmware/efi')).length > 0
  return { current_boot_mode: isUefi ? 'uefi' : 'bios', pxe_interface: bootif }
}
