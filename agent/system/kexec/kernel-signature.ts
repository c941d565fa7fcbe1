// SPDX-License-Identifier: Apache-2.0
// Owns whether a kernel carries a signature, and whether this machine starts others. Does not verify one: the kernel
// that runs does, by the keys it trusts.
import type { Root } from '../root.ts'

/** Of a file's beginning; headers of PE lie in it. */
export const SIGNATURE_HEAD_BYTES = 64 * 1024

const PE32_PLUS = 0x20b
/** Index of the certificate table among the data directories (PE format, "Optional header data directories"). */
const CERTIFICATE_TABLE = 4
/** EFI_GLOBAL_VARIABLE (UEFI 2.10, 3.3). */
const SECURE_BOOT = '/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c'

/** @param head the first bytes of the kernel. False for what is no PE file, as compressed kernels are. */
export function isSignedKernel(head: Uint8Array): boolean {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
  const has = (offset: number, length: number) => offset >= 0 && offset + length <= head.length
  if (!has(0, 0x40) || view.getUint16(0, false) !== 0x4d5a) return false
  const pe = view.getUint32(0x3c, true)
  const optional = pe + 24
  if (!has(pe, 26) || view.getUint32(pe, false) !== 0x50450000) return false
  const directories = optional + (view.getUint16(optional, true) === PE32_PLUS ? 112 : 96)
  const certificates = directories + CERTIFICATE_TABLE * 8
  return has(certificates, 8) && view.getUint32(certificates + 4, true) > 0
}

/** What makes this machine refuse kernels without a signature that it trusts; undefined for nothing that tells. */
export async function whatEnforcesSignatures(root: Root): Promise<string | undefined> {
  const lockdown = await root.readText('/sys/kernel/security/lockdown')
  const mode = /\[(\w+)\]/.exec(lockdown ?? '')?.[1]
  if (mode !== undefined) return mode === 'none' ? undefined : `kernel lockdown (${mode})`
  // without securityfs: distributions' kernels lock down where secure boot is on; 4 bytes of attributes come first
  const secureBoot = await root.readText(SECURE_BOOT)
  return secureBoot?.endsWith('\u0001') ? 'secure boot' : undefined
}
