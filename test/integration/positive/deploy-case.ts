// SPDX-License-Identifier: Apache-2.0
// Owns the form of the matrix of image deploys that succeed: what the image is, how its file is made of it and what
// image_info says. The runner (deploys.test.ts) adds what holds for every deploy: the disk is the image, other programs
// find nothing wrong with it, nothing stays open.
import type { Stage } from '../../../agent/core/events.ts'
import type { JsonObject } from '../../../agent/core/json.ts'
import type { Packer } from '../../support/formats/packed-image.ts'
import type { LoopDeviceOptions } from '../../support/loop-device.ts'

/** One of `qemu-img convert`, with its driver and options, or one of PACKERS. */
export type MakeStep = readonly ['convert', string, ...string[]] | readonly ['pack', Packer]

export interface DeployCase {
  readonly name: string
  /** A whole disk with its table, or the file system of a partition image. */
  readonly image: 'gpt' | 'mbr' | 'ext4'
  /** In this order, the next from what the one before has made. */
  readonly make: readonly MakeStep[]
  /** Of image_info. */
  readonly fields?: JsonObject
  readonly node?: JsonObject
  /** permitted_image_formats, where it is not the default. */
  readonly permitted?: readonly string[]
  readonly disk?: Partial<LoopDeviceOptions>
  /** From a seeder, and nothing but the rest from the origin. */
  readonly isSwarm?: boolean
  /** The server gives no parts of a file. */
  readonly ignoresRange?: boolean
  /** What the progress tells, in its order, without what follows the image. */
  readonly steps: readonly Stage[]
}

export const AS_IT_COMES = ['prepare', 'fetch', 'read-back'] as const satisfies readonly Stage[]
export const UNPACKED = ['unpack', 'read-back'] as const satisfies readonly Stage[]
