// SPDX-License-Identifier: Apache-2.0
// Owns where the built ramdisk lies and how machines of the laboratory are told to start it.
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

const BUILD = join(import.meta.dirname, '../../../build')

export interface Ramdisk {
  readonly kernel: string
  readonly initramfs: string
  /** Both on a disc; made by `make iso` alone. */
  readonly iso: string
}

/**
 * What `make ramdisk RAMDISK=vm` makes; `VM_RAMDISK=build/ironswarm` takes the files of that name
 * instead, here the ramdisk for bare metal.
 */
export function findRamdisk(env: Readonly<Record<string, string | undefined>>): Ramdisk {
  const prefix = resolve(env['VM_RAMDISK'] || join(BUILD, 'ironswarm-vm'))
  return { kernel: `${prefix}.kernel`, initramfs: `${prefix}.initramfs`, iso: `${prefix}.iso` }
}

/** The ramdisk for bare metal, which `make ramdisk` makes. */
export function metalRamdisk(): Ramdisk {
  return findRamdisk({ VM_RAMDISK: join(BUILD, 'ironswarm') })
}

/** Why machines cannot be booted from it; undefined when they can. */
export function whyNoRamdisk({ kernel, initramfs }: Ramdisk): string | undefined {
  const missing = [kernel, initramfs].filter((path) => !existsSync(path))
  return missing.length === 0
    ? undefined
    : `${missing.join(', ')} not built: make ramdisk RAMDISK=vm`
}

/**
 * Serial console, speed, SysRq keys for tests that kill, and patience: without KVM a machine that shares
 * its processor needs a minute to find its peers, and its timer may come so late that the kernel would
 * take it for broken and stop. The log comes on the serial line, for tests that wait for its words. Ironic adds the rest.
 */
export const KERNEL_WORDS =
  'console=ttyS0 mitigations=off no_timer_check sysrq_always_enabled ipa-swarm-stall-timeout=180 ipa-debug=1'
