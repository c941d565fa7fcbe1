// SPDX-License-Identifier: Apache-2.0
// Owns what a person may choose about `make vm`, read from the environment that make passes on.
import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { MoreDisk } from '../../support/vm/qemu-arguments.ts'
import { findRamdisk, type Ramdisk, whyNoRamdisk } from '../../support/vm/ramdisk.ts'

export const PROJECT = join(import.meta.dirname, '../../..')
const DEFAULT_IMAGE = join(PROJECT, 'build/instance-image.raw')
const BOOT = ['pxe', 'iso', 'direct'] as const
const FIRMWARE = ['bios', 'uefi'] as const
/** Below this the ramdisk has no room for itself. */
const LEAST_MEMORY_MIB = 256

export interface VmSettings {
  readonly nodes: number
  readonly boot: (typeof BOOT)[number]
  readonly firmware: (typeof FIRMWARE)[number]
  readonly image: string
  readonly ramdisk: Ramdisk
  readonly memoryMib: number
  readonly isSwarm: boolean
  /** See `Hardware.hasScreen`. */
  readonly hasScreen?: boolean
  /** See `Hardware.moreDisks`; tests have some. */
  readonly moreDisks?: readonly MoreDisk[]
  /** See `Hardware.server`; a test has one. */
  readonly isServer?: boolean
}

/** Throws an Error whose message says what to write instead. Empty values are as good as none. */
export async function readSettings(
  env: Readonly<Record<string, string | undefined>>,
): Promise<VmSettings> {
  const nodes = wholeNumber(env, 'NODES', 1, 1, 16)
  const memoryMib = wholeNumber(env, 'MEMORY', 512, LEAST_MEMORY_MIB, 65_536)
  const image = env['IMAGE'] || DEFAULT_IMAGE
  const found = await stat(image).catch(() => undefined)
  if (!found?.isFile() || found.size === 0) {
    const hint = env['IMAGE'] ? 'IMAGE= takes the path of a raw image' : 'run make instance-image'
    throw new Error(`${image} is not an image file; ${hint}`)
  }
  const ramdisk = findRamdisk(env)
  const reason = whyNoRamdisk(ramdisk)
  if (reason) throw new Error(reason)
  const boot = oneOf(env, 'BOOT', BOOT)
  if (boot === 'iso' && !existsSync(ramdisk.iso)) {
    throw new Error(`${ramdisk.iso} is not built: make iso RAMDISK=vm`)
  }
  const swarm = oneOf(env, 'SWARM', ['auto', 'on', 'off'])
  return {
    nodes,
    memoryMib,
    image,
    ramdisk,
    boot,
    firmware: readFirmware(env),
    // one machine has nobody to share with
    isSwarm: swarm === 'auto' ? nodes > 1 : swarm === 'on',
  }
}

/** What `FIRMWARE=` says. Throws as {@link readSettings} does. */
export function readFirmware(env: Environment): VmSettings['firmware'] {
  return oneOf(env, 'FIRMWARE', FIRMWARE)
}

type Environment = Readonly<Record<string, string | undefined>>

/** The first of the choices where nothing is said. */
function oneOf<T extends string>(env: Environment, name: string, choices: readonly T[]): T {
  const wanted = (env[name] || choices[0])?.toLowerCase()
  const found = choices.find((choice) => choice === wanted)
  if (!found) throw new Error(`${name}=${env[name]} is none of ${choices.join(', ')}`)
  return found
}

function wholeNumber(
  env: Environment,
  name: string,
  usual: number,
  least: number,
  most: number,
): number {
  const value = Number(env[name] || usual)
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new Error(`${name}=${env[name]} is not a whole number from ${least} to ${most}`)
}
