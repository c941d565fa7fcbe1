// SPDX-License-Identifier: Apache-2.0
// Owns how this ramdisk was booted (contract 6.1): firmware mode and the interface it came through.
import type { Root } from '../../system/root.ts'
import type { Inventory } from '../inventory.ts'

/** `uefi` where the kernel offers EFI runtime services; the MAC of `BOOTIF` in lower case with colons. */
export async function readBoot(root: Root): Promise<Inventory['boot']> {
  const isUefi = (await root.list('/sys/firmware/efi')).length > 0
  const cmdline = (await root.readText('/proc/cmdline')) ?? ''
  return { current_boot_mode: isUefi ? 'uefi' : 'bios', pxe_interface: parseBootif(cmdline) }
}

/** `BOOTIF=01-aa-bb-cc-dd-ee-ff` of pxelinux (with its hardware type) or `aa:bb:…` of iPXE (contract 1.2). */
export function parseBootif(cmdline: string): string | null {
  const value = cmdline
    .split(/\s+/)
    .findLast((word) => word.startsWith('BOOTIF='))
    ?.slice('BOOTIF='.length)
    .toLowerCase()
    .replaceAll('-', ':')
  const mac = value && /^(?:01:)?((?:[0-9a-f]{2}:){5}[0-9a-f]{2})$/.exec(value)?.[1]
  return mac || null
}
