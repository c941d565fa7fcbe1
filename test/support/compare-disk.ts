// SPDX-License-Identifier: Apache-2.0
// Owns the proof that a disk holds an image, made with tools the agent does not use for it: every byte
// outside of the partition tables is compared, the tables entry by entry with sfdisk.
import { execFile } from 'node:child_process'
import { open } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)
const MiB = 1024 * 1024

export interface PartitionRow {
  readonly start: number
  readonly size: number
  readonly type: string
  readonly uuid?: string
  readonly name?: string
  readonly bootable?: boolean
}

interface SfdiskTable {
  readonly label: 'gpt' | 'dos'
  readonly id: string
  readonly partitions?: readonly (PartitionRow & { node: string })[]
}

/** The partition table of a device or file; undefined if there is none. */
export async function readPartitionTable(path: string): Promise<SfdiskTable | undefined> {
  try {
    const { stdout } = await run('sfdisk', ['--json', path])
    return (JSON.parse(stdout) as { partitiontable: SfdiskTable }).partitiontable
  } catch {
    return undefined
  }
}

/**
 * What differs between the disk and the image; empty when the disk holds it. Not compared byte by byte:
 * the first MiB and the image's last 34 sectors, where moving the backup GPT to the end of the disk and
 * adding the config-drive partition change the tables; there the entries are compared, and boot code.
 */
export async function differencesFromImage(device: string, imagePath: string): Promise<string[]> {
  const differences: string[] = []
  const expected = await readPartitionTable(imagePath)
  const actual = await readPartitionTable(device)
  for (const row of expected?.partitions ?? []) {
    const found = actual?.partitions?.some((candidate) => isSame(candidate, row))
    if (!found) differences.push(`partition ${row.node} of the image is not in the disk's table`)
  }
  if (!expected || !actual || expected.label !== actual.label || expected.id !== actual.id) {
    differences.push(
      `partition table is ${actual?.label} ${actual?.id}, not ${expected?.label} ${expected?.id}`,
    )
  }
  await using disk = await open(device)
  await using image = await open(imagePath)
  const { size } = await image.stat()
  const from = { disk: Buffer.alloc(MiB), image: Buffer.alloc(MiB) }
  // boot code lies before the disk identifier at offset 440
  await disk.read(from.disk, 0, 440, 0)
  await image.read(from.image, 0, 440, 0)
  if (!from.disk.subarray(0, 440).equals(from.image.subarray(0, 440))) differences.push('boot code')
  const end = expected?.label === 'gpt' ? size - 34 * 512 : size
  for (let offset = MiB; offset < end; offset += MiB) {
    const length = Math.min(MiB, end - offset)
    await disk.read(from.disk, 0, length, offset)
    await image.read(from.image, 0, length, offset)
    if (!from.disk.subarray(0, length).equals(from.image.subarray(0, length))) {
      differences.push(`bytes ${offset}-${offset + length - 1}`)
    }
  }
  return differences
}

function isSame(a: PartitionRow, b: PartitionRow): boolean {
  return (
    a.start === b.start &&
    a.size === b.size &&
    a.type === b.type &&
    a.uuid === b.uuid &&
    a.name === b.name
  )
}

/** Why a firmware might boot this disk: boot signature, GPT header at either end; empty when it cannot. */
export async function bootableTraces(device: string): Promise<string[]> {
  await using disk = await open(device)
  const size = await sizeOf(device, disk)
  const head = Buffer.alloc(MiB)
  const tail = Buffer.alloc(64 * 1024)
  await disk.read(head, 0, MiB, 0)
  await disk.read(tail, 0, tail.length, size - tail.length)
  const traces: string[] = []
  if (head.readUInt16LE(510) === 0xaa55) traces.push('boot signature in sector 0')
  if (head.includes('EFI PART')) traces.push('primary GPT header')
  if (tail.includes('EFI PART')) traces.push('backup GPT header')
  if (head.includes('CD001')) traces.push('ISO 9660 volume')
  if (!head.equals(Buffer.alloc(MiB))) traces.push('first MiB is not zero')
  return traces
}

/** Of a device or of a file. */
async function sizeOf(path: string, disk: Awaited<ReturnType<typeof open>>): Promise<number> {
  const found = await disk.stat()
  if (found.isFile()) return found.size
  const { stdout } = await run('blockdev', ['--getsize64', path])
  return Number(stdout)
}
