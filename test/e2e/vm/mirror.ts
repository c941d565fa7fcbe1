// SPDX-License-Identifier: Apache-2.0
// Owns the two disks that become a mirror in a machine of the laboratory, and what this machine reads of them by
// sgdisk, sfdisk, fsck.vfat and mdir.
import { execFile } from 'node:child_process'
import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'vitest'
import type { MoreDisk } from '../../support/vm/qemu-arguments.ts'

const run = promisify(execFile)
const MiB = 1024 * 1024
const DISK_BYTES = 800 * MiB

/** Serial numbers of the two. */
export const MEMBERS = ['member-1', 'member-2'] as const

/** What Ironic asks for: one mirror of both, for the image. */
export const MIRROR = {
  logical_disks: [
    {
      ...{ controller: 'software', raid_level: '1', size_gb: 'MAX' },
      ...{ volume_name: 'root', is_root_volume: true },
      physical_disks: MEMBERS.map((serial) => ({ serial })),
    },
  ],
}

export interface MemberPartition {
  readonly offset: number
  readonly length: number
  readonly type: string
  readonly name: string
}

export interface MirrorDisks {
  readonly moreDisks: readonly MoreDisk[]
  pathOf(serial: string): string
  /** By sfdisk, after sgdisk has found nothing wrong with the table. */
  partitionsOf(serial: string): Promise<MemberPartition[]>
  /** All files of the FAT at the first MiB, which fsck.vfat finds nothing wrong with. */
  filesOfEsp(serial: string): Promise<string>
}

/** Two empty disks in an emptied folder. */
export async function createMirrorDisks(folder: string): Promise<MirrorDisks> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const pathOf = (serial: string) => join(folder, serial)
  for (const serial of MEMBERS) {
    await using disk = await open(pathOf(serial), 'w')
    await disk.truncate(DISK_BYTES)
  }
  return {
    moreDisks: MEMBERS.map((serial) => ({ path: pathOf(serial), serial, isLun: false })),
    pathOf,
    partitionsOf: async (serial) => {
      const verified = await run('sgdisk', ['--verify', pathOf(serial)])
      expect(verified.stdout).toContain('No problems found')
      const { stdout } = await run('sfdisk', ['--json', pathOf(serial)])
      const { partitiontable } = JSON.parse(stdout) as {
        partitiontable: {
          partitions: { start: number; size: number; type: string; name: string }[]
        }
      }
      return partitiontable.partitions.map(({ start, size, type, name }) => ({
        ...{ offset: start * 512, length: size * 512, type, name },
      }))
    },
    filesOfEsp: async (serial) => {
      const fat = join(folder, `${serial}.fat`)
      await run('dd', [`if=${pathOf(serial)}`, `of=${fat}`, 'bs=1M', 'skip=1', 'count=36'])
      await run('fsck.vfat', ['-n', fat])
      return (await run('mdir', ['-b', '-/', '-i', fat, '::'])).stdout
    },
  }
}
