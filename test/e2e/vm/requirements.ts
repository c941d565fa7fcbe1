// SPDX-License-Identifier: Apache-2.0
// Owns whether machines can be booted here, and says why not.
import { existsSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { hasPackages } from '../../support/packages.ts'
import { SMALL_IMAGE } from '../../support/vm/ironic-lab.ts'
import { findRamdisk, whyNoRamdisk } from '../../support/vm/ramdisk.ts'

/** False, with a printed reason, where the tests must be skipped. */
export function canBootMachines(): boolean {
  const reason = whyNot()
  if (reason) console.log(`skipped: machines do not boot here: ${reason}`)
  return reason === undefined && hasPackages('agent') && hasPackages('ironic') && hasPackages('vm')
}

function whyNot(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root'
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun'
  const foreign = Object.keys(networkInterfaces()).filter((name) => name !== 'lo')
  if (foreign.length > 0) return 'not in a network of their own; start them by make test-vm'
  if (!existsSync(SMALL_IMAGE)) return `${SMALL_IMAGE} is not built; start them by make test-vm`
  return whyNoRamdisk(findRamdisk(process.env))
}
