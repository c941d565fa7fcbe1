// SPDX-License-Identifier: Apache-2.0
// Owns what a person may choose about `make vm`, read from the environment that make passes on. As a program it says what is
// wrong with it before make builds anything.
import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { runProgram } from '../../../image-build/program.ts'
import { readAccelerator } from '../../support/vm/accelerator.ts'
import type { MoreDisk } from '../../support/vm/qemu-arguments.ts'
import { findRamdisk, type Ramdisk, whyNoRamdisk } from '../../support/vm/ramdisk.ts'

export const PROJECT = join(import.meta.dirname, '../../..')
const DEFAULT_IMAGE = join(PROJECT, 'build/instance-image.raw')
const BOOT = ['pxe', 'iso', 'direct'] as const
const FIRMWARE = ['bios', 'uefi'] as const
const USUAL_MEMORY_MIB = 512
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

/** All of them that is known before anything is built. */
type Words = Omit<VmSettings, 'ramdisk'> & { readonly byIronic: boolean }

/** Throws an Error whose message says what to write instead. Empty values are as good as none. */
export async function readSettings(env: Environment): Promise<VmSettings> {
  const { byIronic, ...words } = await readWords(env)
  const ramdisk = findRamdisk(env)
  const reason = whyNoRamdisk(ramdisk)
  if (reason) throw new Error(reason)
  if (words.boot === 'iso' && !existsSync(ramdisk.iso)) {
    throw new Error(`${ramdisk.iso} is not built: make iso RAMDISK=vm`)
  }
  await assertImage(words.image, 'run make instance-image')
  return { ...words, ramdisk }
}

/** Throws as {@link readSettings} does, but for what is not built yet. */
export async function readWords(env: Environment): Promise<Words> {
  if (env['IMAGE']) await assertImage(env['IMAGE'], 'IMAGE= takes the path of a raw image')
  readAccelerator(env)
  const nodes = wholeNumber(env, 'NODES', 1, 1, 16)
  const swarm = oneOf(env, 'SWARM', ['auto', 'on', 'off'])
  const words: Words = {
    nodes,
    memoryMib: wholeNumber(env, 'MEMORY', USUAL_MEMORY_MIB, LEAST_MEMORY_MIB, 65_536),
    image: env['IMAGE'] || DEFAULT_IMAGE,
    boot: oneOf(env, 'BOOT', BOOT),
    firmware: readFirmware(env),
    // one machine has nobody to share with
    isSwarm: swarm === 'auto' ? nodes > 1 : swarm === 'on',
    byIronic: isByIronic(env),
  }
  if (words.byIronic) assertIronicTakes(words, env)
  return words
}

function isByIronic(env: Environment): boolean {
  if (!env['IRONIC'] || env['IRONIC'] === '1') return env['IRONIC'] === '1'
  throw new Error(
    `IRONIC=${env['IRONIC']}: make vm takes IRONIC=1, Debian's Ironic, or none, its stand-in; ` +
      'other releases are for make test-ironic',
  )
}

/** It has one machine, whatever is said. */
function assertIronicTakes(words: Words, env: Environment): void {
  const others = {
    NODES: words.nodes !== 1,
    MEMORY: words.memoryMib !== USUAL_MEMORY_MIB,
    BOOT: words.boot !== 'pxe',
    IMAGE: words.image !== DEFAULT_IMAGE,
    SWARM: words.isSwarm,
  }
  const wrong = Object.entries(others).flatMap(([name, is]) =>
    is && env[name] ? `${name}=${env[name]}` : [],
  )
  if (wrong.length === 0) return
  throw new Error(
    'IRONIC=1 boots one machine by PXE and deploys the small image by HTTP; ' +
      `it takes FIRMWARE and ACCEL: leave out ${wrong.join(' ')}`,
  )
}

async function assertImage(path: string, hint: string): Promise<void> {
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile() && found.size > 0) return
  throw new Error(`${path} is not an image file; ${hint}`)
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

if (import.meta.main) await runProgram('vm', async () => void (await readWords(process.env)))
