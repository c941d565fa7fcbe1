// SPDX-License-Identifier: Apache-2.0
// Owns the decision of which partitions a disk gets for a partition image, and where (contract 5.3.10). Pure: what
// it needs to know is handed in. Does not write tables (new-table.ts) nor file systems.
import type { BootMode, DiskLabel } from '../../core/boot-mode.ts'
import { AgentError } from '../../core/errors.ts'
import { type DiskRange, endOf } from '../../core/extent.ts'
import { MiB } from '../../core/units.ts'
import type { DeviceGeometry } from '../geometry.ts'
import { BIOS_BOOT_TYPE, ESP_TYPE, LINUX_FS_TYPE } from '../partition-table/gpt.ts'

/** In the order in which they lie on the disk: what the image is grown into comes last. */
export type PartitionKind =
  | 'esp'
  | 'bios-boot'
  | 'prep'
  | 'ephemeral'
  | 'swap'
  | 'configdrive'
  | 'root'

/** What the disk is to be divided into. Sizes in MiB; 0 for a partition that is not wanted. */
export interface LayoutRequest {
  readonly bootMode: BootMode
  /** Null: nobody asked for one. */
  readonly diskLabel: DiskLabel | null
  /** Open Firmware starts what lies in a PReP partition. */
  readonly isPpc64: boolean
  readonly rootMib: number
  readonly swapMib: number
  readonly ephemeralMib: number
  readonly ephemeralFormat: string
  /** The table is there already and stays, and so does what is in the ephemeral partition. */
  readonly preservesEphemeral: boolean
  readonly configdriveMib: number
}

export interface PlannedPartition {
  readonly kind: PartitionKind
  /** 1-based, as in /dev/sda1. */
  readonly number: number
  readonly range: DiskRange
  /** Type GUID in lower case. */
  readonly gptType: string
  readonly mbrType: number
  /** Its boot flag in an MBR is set. */
  readonly isActive: boolean
  /** Of the partition, in a GPT. */
  readonly name: string
}

export interface DiskLayout {
  readonly label: DiskLabel
  readonly bootMode: BootMode
  /** By number. */
  readonly partitions: readonly PlannedPartition[]
  readonly root: PlannedPartition
  readonly ephemeralFormat: string
  readonly preservesEphemeral: boolean
}

/** Table, boot code, and room up to the first aligned sector. */
const FIRST_MIB = 1
const ESP_MIB = 550
const BIOS_BOOT_MIB = 1
const PREP_MIB = 8

/** What tables say of each kind. */
export const PARTITION_KINDS: Readonly<
  Record<
    PartitionKind,
    { readonly gptType: string; readonly mbrType: number; readonly name: string }
  >
> = {
  esp: { gptType: ESP_TYPE, mbrType: 0xef, name: 'EFI system partition' },
  'bios-boot': {
    gptType: BIOS_BOOT_TYPE,
    mbrType: 0xda,
    name: 'BIOS boot',
  },
  prep: { gptType: '9e1a2d38-c612-4316-aa26-8b49521e5a8b', mbrType: 0x41, name: 'PReP boot' },
  ephemeral: { gptType: LINUX_FS_TYPE, mbrType: 0x83, name: 'ephemeral' },
  swap: { gptType: '0657fd6d-a4ab-43c4-84e5-0933c84b4f4f', mbrType: 0x82, name: 'swap' },
  configdrive: { gptType: LINUX_FS_TYPE, mbrType: 0x83, name: 'config-2' },
  root: { gptType: LINUX_FS_TYPE, mbrType: 0x83, name: 'root' },
}

/** An MBR has four entries, and counts sectors in 32 bits. */
const MBR_ENTRIES = 4
const MBR_SECTORS = 2 ** 32
/** Backup entries and header at the end of a disk; the entries take 16 KiB. */
const GPT_ENTRIES_BYTES = 16 * 1024

/**
 * Decides. Throws DeploymentError where the partitions do not fit the disk, or not into an MBR;
 * InvalidCommandParamsError where there is nothing to preserve.
 */
export function layOut(request: LayoutRequest, disk: DeviceGeometry): DiskLayout {
  const { bootMode, ephemeralFormat, preservesEphemeral } = request
  const label = bootMode === 'uefi' ? 'gpt' : (request.diskLabel ?? 'msdos')
  const sizes = sizesOf(request, label)
  if (preservesEphemeral && request.ephemeralMib === 0) {
    throw new AgentError(
      'InvalidCommandParamsError',
      'preserve_ephemeral is true, but ephemeral_mb is 0: there would be nothing to preserve, and what is ' +
        'there would be lost; set instance_info.ephemeral_gb, or preserve_ephemeral to false',
    )
  }
  let at = FIRST_MIB
  const partitions = sizes.map(([kind, mib], index): PlannedPartition => {
    const range = { offset: at * MiB, length: mib * MiB }
    at += mib
    const isActive = kind === 'root' && label === 'msdos' && !request.isPpc64
    return { kind, number: index + 1, range, isActive, ...PARTITION_KINDS[kind] }
  })
  requireRoom(partitions, label, disk)
  if (label === 'msdos') requireMbr(partitions, disk)
  const root = partitions.at(-1) as PlannedPartition
  return { label, bootMode, partitions, root, ephemeralFormat, preservesEphemeral }
}

function sizesOf(request: LayoutRequest, label: DiskLabel): [PartitionKind, number][] {
  const boot: [PartitionKind, number][] = []
  if (request.bootMode === 'uefi') boot.push(['esp', ESP_MIB])
  else if (request.isPpc64) boot.push(['prep', PREP_MIB])
  else if (label === 'gpt') boot.push(['bios-boot', BIOS_BOOT_MIB])
  const wanted: [PartitionKind, number][] = [
    ['ephemeral', request.ephemeralMib],
    ['swap', request.swapMib],
    ['configdrive', request.configdriveMib],
  ]
  return [...boot, ...wanted.filter(([, mib]) => mib > 0), ['root', request.rootMib]]
}

function requireRoom(
  partitions: readonly PlannedPartition[],
  label: DiskLabel,
  { path, sizeBytes, logicalSectorBytes }: DeviceGeometry,
): void {
  const reserved = label === 'gpt' ? GPT_ENTRIES_BYTES + logicalSectorBytes : 0
  const needed = endOf((partitions.at(-1) as PlannedPartition).range)
  if (needed + reserved <= sizeBytes) return
  const list = partitions.map(({ kind, range }) => `${kind} ${range.length / MiB}`).join(', ')
  const rest = reserved > 0 ? ' and the backup of the GPT behind them' : ''
  throw new AgentError(
    'DeploymentError',
    `the partitions need the first ${needed / MiB} MiB of the disk (${list}, from ${FIRST_MIB} MiB on)${rest}, but ` +
      `${path} has ${Math.floor(sizeBytes / MiB)} MiB; choose a larger disk (for a node: by root device hints), or make ` +
      'root_gb, ephemeral_gb or swap_mb smaller',
  )
}

function requireMbr(partitions: readonly PlannedPartition[], disk: DeviceGeometry): void {
  const instead = 'use a GPT (capability disk_label:gpt, or boot_mode:uefi)'
  if (partitions.length > MBR_ENTRIES) {
    const kinds = partitions.map(({ kind }) => kind).join(', ')
    throw new AgentError(
      'DeploymentError',
      `an MBR holds ${MBR_ENTRIES} partitions, but ${partitions.length} are asked for (${kinds}); ${instead}`,
    )
  }
  const limit = MBR_SECTORS * disk.logicalSectorBytes
  const outside = partitions.find(({ range }) => endOf(range) > limit)
  if (outside === undefined) return
  throw new AgentError(
    'DeploymentError',
    `partition ${outside.number} (${outside.kind}) would end at ${endOf(outside.range) / MiB} MiB, an MBR on ` +
      `${disk.path} reaches ${limit / MiB} MiB; ${instead}`,
  )
}
