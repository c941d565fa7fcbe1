// SPDX-License-Identifier: Apache-2.0
// Owns `biosdevname` of an interface (contract 6.1): the name that the firmware's slots and ports make, by the program
// biosdevname, where the ramdisk has it.
import type { Exec } from '../../system/exec.ts'

const ASK_TIMEOUT_MS = 5_000

/**
 * Null for a VLAN, in a virtual machine, without the program, and for an interface that the firmware does not know.
 * @param signal ends the asking of all interfaces
 */
export async function readBiosName(
  exec: Exec,
  name: string,
  signal: AbortSignal,
): Promise<string | null> {
  if (isVlanName(name)) return null
  return await exec(['biosdevname', '-i', name], { timeoutMs: ASK_TIMEOUT_MS, signal }).then(
    ({ stdout }) => stdout.replace(/\n+$/, ''),
    () => null,
  )
}

/** By the names that VLANs get: a number behind the first dot. */
export function isVlanName(name: string): boolean {
  return /^[^.]*\.\d+$/.test(name)
}
