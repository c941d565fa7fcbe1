// SPDX-License-Identifier: Apache-2.0
// Owns the reading of what image_info says of partitions (contract 5.2, 5.3.10), and of what a node says of its boot mode.
// Does not lay out; disk/partitioning does.
import {
  type BootMode,
  bootModeOfNode,
  type DiskLabel,
  diskLabelOfNode,
  parseBootMode,
  parseDiskLabel,
} from '../../core/boot-mode.ts'
import { AgentError } from '../../core/errors.ts'
import { isTruthyWord, type JsonObject, stringAt } from '../../core/json.ts'

/** Sizes in MiB; 0 for none. */
export interface PartitionFields {
  readonly rootMib: number
  readonly swapMib: number
  readonly ephemeralMib: number
  /** `ext4`: what stands behind `mkfs.`. */
  readonly ephemeralFormat: string
  readonly preservesEphemeral: boolean
  /** Null: as the ramdisk was booted. */
  readonly bootMode: BootMode | null
  /** Null: nobody asked for one. */
  readonly diskLabel: DiskLabel | null
}

/** What Nova and Ironic take where no format is named. */
const DEFAULT_EPHEMERAL_FORMAT = 'ext4'
/** 8 EiB less than which every disk is: sizes beyond it are no sizes. */
const MAX_MIB = 2 ** 33

/**
 * The fields of a partition image; null for a whole disk. Throws InvalidCommandParamsError for what cannot be a size, a
 * format or a mode.
 */
export function parsePartitionFields(info: JsonObject): PartitionFields | null {
  if (info['image_type'] !== 'partition') return null
  const gib = size(info, 'root_gb')
  const rootMib = size(info, 'root_mb') ?? (gib === null ? null : gib * 1024)
  if (!rootMib) {
    throw invalid(
      'image_info.root_mb must be at least 1 for a partition image; set instance_info.root_gb',
    )
  }
  return {
    rootMib,
    swapMib: size(info, 'swap_mb') ?? 0,
    ephemeralMib: size(info, 'ephemeral_mb') ?? 0,
    ephemeralFormat: formatName(info['ephemeral_format']),
    preservesEphemeral: flag(info, 'preserve_ephemeral'),
    bootMode: parseBootMode(stringAt(info, 'deploy_boot_mode'), 'image_info.deploy_boot_mode'),
    diskLabel: parseDiskLabel(stringAt(info, 'disk_label'), 'image_info.disk_label'),
  }
}

/**
 * What the node says wins over image_info, which Ironic has filled from it: secure boot needs UEFI, then
 * instance_info.deploy_boot_mode, the capability boot_mode, driver_internal_info.deploy_boot_mode. Throws
 * InvalidCommandParamsError for modes and labels that are none.
 */
export function withNodesBootMode(
  fields: PartitionFields,
  node: JsonObject | undefined,
): PartitionFields {
  return {
    ...fields,
    bootMode: bootModeOfNode(node) ?? fields.bootMode,
    diskLabel: diskLabelOfNode(node) ?? fields.diskLabel,
  }
}

/** A whole number, also as text (root_gb is); null where it is not given. */
function size(info: JsonObject, key: string): number | null {
  const value = info[key]
  if (value === undefined || value === null || value === '') return null
  const number = typeof value === 'string' ? Number(value) : value
  if (typeof number === 'number' && Number.isInteger(number) && number >= 0 && number <= MAX_MIB) {
    return number
  }
  throw invalid(
    `image_info.${key} must be a whole number of at least 0, got ${JSON.stringify(value)}`,
  )
}

function flag(info: JsonObject, key: string): boolean {
  const value = info[key]
  if (value === undefined || value === null) return false
  if (typeof value === 'boolean') return value
  if (typeof value === 'string') return isTruthyWord(value)
  throw invalid(`image_info.${key} must be true or false, got ${JSON.stringify(value)}`)
}

/** It becomes part of a program's name. */
function formatName(value: unknown): string {
  if (value === undefined || value === null || value === '') return DEFAULT_EPHEMERAL_FORMAT
  if (typeof value === 'string' && /^[a-z][a-z0-9]{0,15}$/.test(value)) return value
  throw invalid(
    `image_info.ephemeral_format must be a file system as ext4 or xfs, got ${JSON.stringify(value)}`,
  )
}

function invalid(details: string): AgentError {
  return new AgentError('InvalidCommandParamsError', details)
}
