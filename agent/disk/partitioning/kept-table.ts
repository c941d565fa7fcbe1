// SPDX-License-Identifier: Apache-2.0
// Owns a partition table that stays, because what is in the ephemeral partition is to be preserved: it must be the planned
// one, and until the deploy has ended well nothing boots by it (docs/design/240-partition-images.md).
import { AgentError } from '../../core/errors.ts'
import { endOf } from '../../core/extent.ts'
import { MiB } from '../../core/units.ts'
import type { DiskBytes } from '../block-device.ts'
import { disarmMbr, partUuidOfMbr, protectiveMbr, rearmMbr } from '../partition-table/mbr.ts'
import {
  listGptPartitions,
  listPartitions,
  mbrPartitions,
  type Partition,
  readSector,
} from '../partition-table/partitioner.ts'
import type { DiskLayout, PartitionKind, PlannedPartition } from './disk-layout.ts'
import type { PartUuids } from './new-table.ts'

export interface KeptTable {
  /** As it will be once the disk may boot: without boot code, which was for the system before. */
  readonly firstSector: Uint8Array
  readonly partUuids: PartUuids
}

/** Firmware finds these by their type; the types of the others are the tenant's. */
const BOOT_KINDS: ReadonlySet<PartitionKind> = new Set(['esp', 'bios-boot', 'prep'])

/**
 * The table of the disk, also one that an interrupted deploy has left disarmed. Throws DeploymentError that says what
 * differs from the layout; BlockDeviceError for a broken GPT.
 */
export async function readKeptTable(device: DiskBytes, layout: DiskLayout): Promise<KeptTable> {
  const { logicalSectorBytes, sizeBytes } = device.geometry
  const first = await readSector(device, 0)
  if (layout.label === 'gpt') {
    requireLayout(await gptOf(device, first), device, layout)
    const firstSector = protectiveMbr(
      logicalSectorBytes,
      Math.floor(sizeBytes / logicalSectorBytes),
    )
    const partitions = (await listGptPartitions(device)) ?? []
    return {
      firstSector,
      partUuids: new Map(partitions.map(({ number, uniqueGuid }) => [number, uniqueGuid ?? ''])),
    }
  }
  const firstSector = rearmMbr(disarmMbr(first)) ?? first
  const isMbr = rearmMbr(first) !== undefined || (await listPartitions(device)).label === 'msdos'
  const partitions = isMbr ? mbrPartitions(device, firstSector) : undefined
  requireLayout(partitions, device, layout)
  const numbers = layout.partitions.map(({ number }) => number)
  return {
    firstSector,
    partUuids: new Map(numbers.map((number) => [number, partUuidOfMbr(firstSector, number)])),
  }
}

/** A first sector of zeros is one that was disarmed: the GPT behind it counts. */
async function gptOf(device: DiskBytes, first: Uint8Array): Promise<Partition[] | undefined> {
  if (first.every((byte) => byte === 0)) return await listGptPartitions(device)
  const { label, partitions } = await listPartitions(device)
  return label === 'gpt' ? [...partitions] : undefined
}

function requireLayout(
  found: readonly Partition[] | undefined,
  { geometry: { path } }: DiskBytes,
  layout: DiskLayout,
): void {
  const differences = found ? differencesOf(found, layout) : [`it has no ${layout.label} table`]
  if (differences.length === 0) return
  throw new AgentError(
    'DeploymentError',
    `preserve_ephemeral keeps the partition table of ${path}, but it is not the one to be expected: ` +
      `${differences.join('; ')}. Nothing was written. Ask for the sizes, boot mode and config drive that it was ` +
      'made for, or set preserve_ephemeral to false, which erases what it holds',
  )
}

function differencesOf(found: readonly Partition[], layout: DiskLayout): string[] {
  const { partitions, label } = layout
  const differences = partitions.flatMap((planned) => {
    const there = found.find(({ number }) => number === planned.number)
    const name = `partition ${planned.number} (${planned.kind})`
    if (there === undefined) return [`${name} is not there`]
    if (!isSamePlace(there, planned)) {
      return [`${name} lies at ${placeOf(there)}, expected at ${placeOf(planned)}`]
    }
    const type = label === 'gpt' ? planned.gptType : `0x${planned.mbrType.toString(16)}`
    if (BOOT_KINDS.has(planned.kind) && there.type !== type) {
      return [`${name} is of type ${there.type}, expected ${type}`]
    }
    return []
  })
  const more = found.filter(({ number }) => number > partitions.length)
  return [
    ...differences,
    ...more.map((each) => `there is a partition ${each.number} at ${placeOf(each)}`),
  ]
}

type Place = Pick<PlannedPartition, 'range'>

function isSamePlace({ range: a }: Place, { range: b }: Place): boolean {
  return a.offset === b.offset && a.length === b.length
}

function placeOf({ range }: Place): string {
  return `${range.offset / MiB}–${endOf(range) / MiB} MiB`
}

export interface TableKeeper {
  /** Reads the table, and sees to it that nothing boots by it. Throws what readKeptTable throws, before it writes. */
  disarm(device: DiskBytes): Promise<void>
  /** As read by the first `disarm`. */
  table(): KeptTable
}

/**
 * One for one deploy. Disarmed are the first sector, which is written whole or not at all, and the beginning of every
 * partition but the ephemeral one: firmware that takes a GPT without its first sector finds no loader either.
 */
export function createTableKeeper(layout: DiskLayout): TableKeeper {
  let kept: KeptTable | undefined
  return {
    disarm: async (device) => {
      kept ??= await readKeptTable(device, layout)
      const { logicalSectorBytes } = device.geometry
      const sector =
        layout.label === 'gpt' ? new Uint8Array(logicalSectorBytes) : disarmMbr(kept.firstSector)
      await device.write(0, sector)
      await device.sync()
      for (const { kind, range } of layout.partitions) {
        if (kind === 'ephemeral') continue
        await device.write(range.offset, new Uint8Array(Math.min(MiB, range.length)))
      }
      await device.sync()
    },
    table: () => {
      if (kept === undefined) throw new Error('the table was not read')
      return kept
    },
  }
}
