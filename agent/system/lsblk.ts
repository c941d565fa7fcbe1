// SPDX-License-Identifier: Apache-2.0
// Owns running lsblk and reading its JSON. Does not choose a disk.
import { AgentError } from '../core/errors.ts'
import { isObject, type JsonObject } from '../core/json.ts'
import type { Exec } from './exec.ts'

/** A row of lsblk; unknown values are null. Sizes in bytes. */
export interface LsblkDevice {
  /** Kernel name without /dev/. */
  readonly kname: string
  /** The disk a partition or crypt device lies on; null for disks. */
  readonly parentKname: string | null
  readonly type: string
  readonly sizeBytes: number
  readonly model: string | null
  readonly serial: string | null
  readonly wwn: string | null
  readonly vendor: string | null
  readonly hctl: string | null
  readonly transport: string | null
  readonly rotational: boolean
  readonly isReadOnly: boolean
  readonly logicalSectorBytes: number
  readonly physicalSectorBytes: number
  readonly fsType: string | null
  readonly label: string | null
  /** Type GUID, or `0x83` and the like; lower case. */
  readonly partType: string | null
}

const COLUMNS =
  'KNAME,PKNAME,TYPE,SIZE,MODEL,SERIAL,WWN,VENDOR,HCTL,TRAN,ROTA,RO,LOG-SEC,PHY-SEC,' +
  'FSTYPE,LABEL,PARTTYPE'

/**
 * All block devices, or those of `paths` with what lies on them; parents before children.
 * Throws ProcessError if lsblk fails, BlockDeviceError if its output is not JSON.
 */
export async function listBlockDevices(
  exec: Exec,
  paths: readonly string[] = [],
): Promise<LsblkDevice[]> {
  const { stdout } = await exec([
    'lsblk',
    '--bytes',
    '--ascii',
    '--all',
    '--json',
    `--output=${COLUMNS}`,
    ...(paths.length > 0 ? ['--', ...paths] : []),
  ])
  return parseLsblk(stdout)
}

/** Parses `lsblk --json`: nested or flat, values as JSON types or (before util-linux 2.33) as strings. */
export function parseLsblk(text: string): LsblkDevice[] {
  let tree: unknown
  try {
    tree = JSON.parse(text === '' ? '{}' : text)
  } catch (error) {
    throw new AgentError('BlockDeviceError', `lsblk did not answer with JSON`, { cause: error })
  }
  const devices: LsblkDevice[] = []
  const seen = new Set<string>()
  const visit = (rows: unknown, parent: string | null, depth: number): void => {
    if (!Array.isArray(rows) || depth > 16) return
    for (const row of rows) {
      const kname = isObject(row) ? textOf(row['kname']) : null
      if (!isObject(row) || kname === null) continue
      if (!seen.has(kname)) devices.push(deviceOf(row, kname, parent))
      seen.add(kname)
      visit(row['children'], kname, depth + 1)
    }
  }
  visit(isObject(tree) ? tree['blockdevices'] : undefined, null, 0)
  return devices
}

function deviceOf(row: JsonObject, kname: string, parent: string | null): LsblkDevice {
  return {
    kname,
    parentKname: textOf(row['pkname']) ?? parent,
    type: textOf(row['type']) ?? '',
    sizeBytes: numberOf(row['size']) ?? 0,
    model: textOf(row['model']),
    serial: textOf(row['serial']),
    wwn: textOf(row['wwn']),
    vendor: textOf(row['vendor']),
    hctl: textOf(row['hctl']),
    transport: textOf(row['tran']),
    rotational: flag(row['rota']),
    isReadOnly: flag(row['ro']),
    logicalSectorBytes: numberOf(row['log-sec']) ?? 512,
    physicalSectorBytes: numberOf(row['phy-sec']) ?? 512,
    fsType: textOf(row['fstype']),
    label: textOf(row['label']),
    partType: textOf(row['parttype'])?.toLowerCase() ?? null,
  }
}

function textOf(value: unknown): string | null {
  const text = typeof value === 'string' ? value.trim() : ''
  return text === '' ? null : text
}

function numberOf(value: unknown): number | null {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) ? number : null
}

function flag(value: unknown): boolean {
  return value === true || value === 1 || value === '1'
}
