// SPDX-License-Identifier: Apache-2.0
// Owns what a person may choose about the demo, read from the environment that make passes on.
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { parseBytes } from '../../../agent/core/units.ts'

export const PROJECT = join(import.meta.dirname, '../../..')
const DEFAULT_IMAGE = join(PROJECT, 'build/instance-image.raw')
const SWARM_MODES = ['auto', 'off', 'require'] as const

export interface DemoSettings {
  readonly nodes: number
  readonly image: string
  readonly imageBytes: number
  readonly swarm: (typeof SWARM_MODES)[number]
  /** What the origin's network takes, bytes per second; undefined for no limit. */
  readonly originRate: number | undefined
}

/** Throws an Error whose message says what to write instead. Empty values are as good as none. */
export async function readSettings(
  env: Readonly<Record<string, string | undefined>>,
): Promise<DemoSettings> {
  const nodes = Number(env['NODES'] || '6')
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > 64) {
    throw new Error(`NODES=${env['NODES']} is not a number from 1 to 64`)
  }
  const wanted = (env['SWARM'] || 'auto').toLowerCase()
  const swarm = SWARM_MODES.find((mode) => mode === wanted)
  if (!swarm) throw new Error(`SWARM=${env['SWARM']} is none of ${SWARM_MODES.join(', ')}`)
  const image = env['IMAGE'] || DEFAULT_IMAGE
  const found = await stat(image).catch(() => undefined)
  if (!found?.isFile() || found.size === 0) {
    const hint = env['IMAGE'] ? 'IMAGE= takes the path of a raw image' : 'run make instance-image'
    throw new Error(`${image} is not an image file; ${hint}`)
  }
  const rate = env['ORIGIN_RATE']
  const originRate = rate ? parseBytes(rate) : undefined
  if (rate && !originRate) {
    throw new Error(`ORIGIN_RATE=${rate} is no number of bytes per second, for example 25M`)
  }
  return { nodes, image, imageBytes: found.size, swarm, originRate }
}
