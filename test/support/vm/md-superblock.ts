// SPDX-License-Identifier: Apache-2.0
// Owns reading md superblocks of a machine's disks on this one, by mdadm: of a disk or of a stretch of it.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { MDADM } from './array-maker.ts'

const run = promisify(execFile)

export interface Superblock {
  /** With the home host before it. */
  readonly name: string
  /** `raid1`. */
  readonly level: string
  readonly arrayUuid: string
  /** How many places the array has. */
  readonly places: number
  /** Where the array's bytes begin, from the member's own beginning. */
  readonly dataOffset: number
}

/** Empty texts where there is no such superblock, or none at all. */
export async function readSuperblock(
  path: string,
  { offset, length }: { readonly offset: number; readonly length: number },
): Promise<Superblock> {
  const argv = ['--find', '--show', '--read-only', `--offset=${offset}`, `--sizelimit=${length}`]
  const loop = (await run('losetup', [...argv, path])).stdout.trim()
  try {
    const stdout = await examine(loop)
    const word = (label: string) => new RegExp(`${label} : (\\S+)`).exec(stdout)?.[1] ?? ''
    return {
      name: word('Name'),
      level: word('Raid Level'),
      arrayUuid: word('Array UUID'),
      places: Number(word('Raid Devices')),
      dataOffset: Number(word('Data Offset')) * 512,
    }
  } finally {
    await run('losetup', ['--detach', loop])
  }
}

async function examine(loop: string): Promise<string> {
  try {
    return (await run(MDADM, ['--examine', loop])).stdout
  } catch (error) {
    const { stderr } = error as { readonly stderr?: unknown }
    if (String(stderr).includes('No md superblock detected')) return ''
    throw error
  }
}
