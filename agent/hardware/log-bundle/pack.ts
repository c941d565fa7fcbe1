// SPDX-License-Identifier: Apache-2.0
// Owns the log bundle as Ironic takes it: base64 of a tar.gz, bounded where it has to be. Does not gather
// its members.
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { MiB } from '../../core/units.ts'
import type { LogMember } from '../manager.ts'
import { createTar } from './tar.ts'

const compress = promisify(gzip)

/** Before it is packed: a machine of 1 GiB has room for it, twice. */
const MAX_PLAIN_BYTES = 24 * MiB

/** @param mtimeSeconds of every member, s since the epoch */
export async function packBundle(
  members: readonly LogMember[],
  mtimeSeconds: number,
): Promise<string> {
  return (await compress(createTar(members, mtimeSeconds))).toString('base64')
}

/**
 * The same, no longer than `maxChars`: of the longest members the older part is left out, the half of each
 * until it fits. A member says at its beginning that it was cut.
 */
export async function packWithin(
  members: readonly LogMember[],
  mtimeSeconds: number,
  maxChars: number,
): Promise<string> {
  let plain: PlainMember[] = members.map(({ name, content }) => ({
    name,
    content: Buffer.from(content),
  }))
  while (sizeOf(plain) > MAX_PLAIN_BYTES) plain = withoutHalfOfLongest(plain)
  for (;;) {
    const packed = await packBundle(plain, mtimeSeconds)
    if (packed.length <= maxChars || sizeOf(plain) < maxChars / 2) return packed
    plain = withoutHalfOfLongest(plain)
  }
}

interface PlainMember {
  readonly name: string
  readonly content: Buffer
}

const CUT = '[the older part is left out: too much for Ironic]\n'

function withoutHalfOfLongest(members: readonly PlainMember[]): PlainMember[] {
  const longest = Math.max(...members.map(({ content }) => content.length))
  return members.map(({ name, content }) => {
    if (content.length < longest) return { name, content }
    const newer = content.subarray(Math.ceil(content.length / 2))
    const line = newer.indexOf('\n') + 1
    return { name, content: Buffer.concat([Buffer.from(CUT), newer.subarray(line)]) }
  })
}

function sizeOf(members: readonly PlainMember[]): number {
  return members.reduce((sum, { content }) => sum + content.length, 0)
}
