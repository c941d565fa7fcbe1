// SPDX-License-Identifier: Apache-2.0
// Owns the bytes of a master boot record (UEFI 2.10 §5.2): parse, add a primary partition, keep a
// protective record in step with the disk. Pure. Logical partitions are not followed.
import { AgentError } from '../../core/errors.ts'

const DISK_SIGNATURE_OFFSET = 440
const ENTRIES_OFFSET = 446
const ENTRY_BYTES = 16
const ENTRY_COUNT = 4
const BOOT_SIGNATURE_OFFSET = 510
const BOOT_SIGNATURE = 0xaa55
const MAX_LBA_COUNT = 0xffff_ffff

/** Type of the entry that covers a GPT disk. */
export const PROTECTIVE_TYPE = 0xee
/** EFI System Partition on an MBR disk. */
export const MBR_ESP_TYPE = 0xef
/** FAT32 with LBA addressing: what parted writes for `mkpart primary fat32`. */
export const FAT32_LBA_TYPE = 0x0c

export interface MbrPartition {
  /** 1–4, as in /dev/sda1. */
  readonly number: number
  readonly isActive: boolean
  readonly type: number
  readonly firstLba: number
  readonly sectorCount: number
}

export interface Mbr {
  /** What has a size. Linux and sfdisk show type 0 too (isohybrid images have it); parted and firmware do not. */
  readonly partitions: readonly MbrPartition[]
  /** The only entry covers a GPT: hybrid tables are not protective. */
  readonly isProtective: boolean
  /** An entry of type 0xEE, wherever it points: who understands GPT reads none of the others. */
  readonly hasProtectiveEntry: boolean
}

/** Parses the first sector; undefined if it has no boot signature or boot flags that no MBR has. */
export function parseMbr(sector: Uint8Array): Mbr | undefined {
  if (sector.length < 512) return undefined
  const view = viewOf(sector)
  if (view.readUInt16LE(BOOT_SIGNATURE_OFFSET) !== BOOT_SIGNATURE) return undefined
  const partitions: MbrPartition[] = []
  for (let i = 0; i < ENTRY_COUNT; i++) {
    const at = ENTRIES_OFFSET + i * ENTRY_BYTES
    const flag = view.readUInt8(at)
    // the boot sector of a bare FAT file system carries the same signature, and code at this place
    if (flag !== 0x00 && flag !== 0x80) return undefined
    const { type, firstLba, sectorCount } = entryAt(view, i)
    if (sectorCount === 0) continue
    partitions.push({ number: i + 1, isActive: flag === 0x80, type, firstLba, sectorCount })
  }
  const hasProtectiveEntry = partitions.some(({ type }) => type === PROTECTIVE_TYPE)
  return {
    partitions,
    hasProtectiveEntry,
    isProtective: partitions.length === 1 && hasProtectiveEntry,
  }
}

/**
 * True if this first sector hands over to a GPT: boot signature, and an entry of type 0xEE that begins at LBA 1,
 * alone or among others. Without it Linux (block/partitions/efi.c), UEFI (2.10 §5.3.1) and parted take no
 * notice of a GPT, however good it is.
 */
export function pointsToGpt(sector: Uint8Array): boolean {
  if (sector.length < 512) return false
  const view = viewOf(sector)
  if (view.readUInt16LE(BOOT_SIGNATURE_OFFSET) !== BOOT_SIGNATURE) return false
  const entries = Array.from({ length: ENTRY_COUNT }, (_, i) => entryAt(view, i))
  return entries.some(({ type, firstLba }) => type === PROTECTIVE_TYPE && firstLba === 1)
}

function entryAt(
  view: Buffer,
  index: number,
): Pick<MbrPartition, 'type' | 'firstLba' | 'sectorCount'> {
  const at = ENTRIES_OFFSET + index * ENTRY_BYTES
  return {
    type: view.readUInt8(at + 4),
    firstLba: view.readUInt32LE(at + 8),
    sectorCount: view.readUInt32LE(at + 12),
  }
}

/** `0x1a2b3c4d`: the disk identifier Ironic records as "root uuid" of whole-disk images (contract 5.2). */
export function diskIdentifier(sector: Uint8Array): string {
  const signature = viewOf(sector).readUInt32LE(DISK_SIGNATURE_OFFSET)
  return `0x${signature.toString(16).padStart(8, '0')}`
}

/**
 * The sector with one more primary partition in the first free entry.
 * Throws DeploymentError if there are four already (contract 5.3.8).
 */
export function addMbrPartition(
  sector: Uint8Array,
  added: Omit<MbrPartition, 'number'>,
): { sector: Uint8Array; number: number } {
  const number = [1, 2, 3, 4].find((candidate) => {
    const { type, sectorCount } = entryAt(viewOf(sector), candidate - 1)
    return type === 0 && sectorCount === 0
  })
  if (number === undefined) {
    throw new AgentError(
      'DeploymentError',
      'the image has 4 primary MBR partitions, so none can be added for the config drive; ' +
        'use a GPT image or leave one primary partition free',
    )
  }
  const changed = viewOf(sector.slice())
  const at = ENTRIES_OFFSET + (number - 1) * ENTRY_BYTES
  // CHS addresses say "beyond": LBA is used
  changed.set([added.isActive ? 0x80 : 0, 0xfe, 0xff, 0xff, added.type, 0xfe, 0xff, 0xff], at)
  changed.writeUInt32LE(added.firstLba, at + 8)
  changed.writeUInt32LE(added.sectorCount, at + 12)
  return { sector: changed, number }
}

/** A sector with a boot signature, an identifier and no partition; no boot code. */
export function emptyMbr(sectorBytes: number, identifier: number): Uint8Array {
  const sector = Buffer.alloc(sectorBytes)
  sector.writeUInt32LE(identifier, DISK_SIGNATURE_OFFSET)
  sector.writeUInt16LE(BOOT_SIGNATURE, BOOT_SIGNATURE_OFFSET)
  return sector
}

/** The sector in front of a GPT that covers a disk of `totalSectors` (UEFI 2.10 table 5.4). */
export function protectiveMbr(sectorBytes: number, totalSectors: number): Uint8Array {
  const sector = viewOf(emptyMbr(sectorBytes, 0))
  sector.set([0, 0x00, 0x02, 0x00, PROTECTIVE_TYPE, 0xff, 0xff, 0xff], ENTRIES_OFFSET)
  sector.writeUInt32LE(1, ENTRIES_OFFSET + 8)
  sector.writeUInt32LE(Math.min(totalSectors - 1, MAX_LBA_COUNT), ENTRIES_OFFSET + 12)
  return sector
}

/**
 * The sector without boot code and boot signature: neither firmware nor kernel take it for a table, and its entries are
 * still there for {@link rearmMbr}.
 */
export function disarmMbr(sector: Uint8Array): Uint8Array {
  // slice() of a Buffer shares its memory
  const disarmed = Buffer.from(sector)
  disarmed.fill(0, 0, DISK_SIGNATURE_OFFSET)
  disarmed.writeUInt16LE(0, BOOT_SIGNATURE_OFFSET)
  return disarmed
}

/** With its signature again, still without boot code; undefined for a sector that was not disarmed. */
export function rearmMbr(sector: Uint8Array): Uint8Array | undefined {
  if (sector.length < 512) return undefined
  const armed = Buffer.from(sector)
  const hasCode = armed.subarray(0, DISK_SIGNATURE_OFFSET).some((byte) => byte !== 0)
  if (hasCode || armed.readUInt16LE(BOOT_SIGNATURE_OFFSET) !== 0) return undefined
  armed.writeUInt16LE(BOOT_SIGNATURE, BOOT_SIGNATURE_OFFSET)
  return (parseMbr(armed)?.partitions.length ?? 0) > 0 ? armed : undefined
}

/** What the kernel calls PARTUUID on an MBR disk (block/partitions/msdos.c): `1a2b3c4d-01`. */
export function partUuidOfMbr(sector: Uint8Array, number: number): string {
  return `${diskIdentifier(sector).slice(2)}-${number.toString(16).padStart(2, '0')}`
}

/** The protective record for a disk of `totalSectors`; any other sector is returned as it is. */
export function fitProtectiveMbr(sector: Uint8Array, totalSectors: number): Uint8Array {
  const mbr = parseMbr(sector)
  const [entry] = mbr?.partitions ?? []
  if (!mbr?.isProtective || entry === undefined) return sector
  const changed = viewOf(sector.slice())
  const at = ENTRIES_OFFSET + (entry.number - 1) * ENTRY_BYTES
  changed.writeUInt32LE(Math.min(totalSectors - entry.firstLba, MAX_LBA_COUNT), at + 12)
  return changed
}

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}
