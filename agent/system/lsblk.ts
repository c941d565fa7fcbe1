// SPDX-License-Identifier: Apache-2.0
// Owns running lsblk and reading its JSON. Does not choose a disk.
import { AgentError } from '../core/errors.ts'
import { isObject, type JsonObject } from '../core/json.ts'
import type { Exec } from './exec.ts'
import { blockDevicePath } from './sysfs.ts'

/** A row of lsblk; unknown values are null. Sizes in bytes. */
export interface LsblkDevice {
  /** Kernel name without /dev/. */
  readonly kname: string
  /** The disk a partition or crypt device lies on, each member of an array; empty for disks. */
  readonly parentKnames: readonly string[]
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

/** What devices call themselves: the columns that may hold any byte. */
const TEXT_COLUMNS = ['MODEL', 'SERIAL', 'VENDOR', 'LABEL', 'WWN']
const COLUMNS = [
  ...['KNAME', 'PKNAME', 'TYPE', 'SIZE', 'HCTL', 'TRAN', 'ROTA', 'RO', 'LOG-SEC', 'PHY-SEC'],
  ...['FSTYPE', 'PARTTYPE', ...TEXT_COLUMNS],
]
/** 1, 32 and 64: one device or several could not be read; the others are listed (lsblk(8)). */
const ANSWERS = [0, 1, 32, 64]

/**
 * All block devices, or those of `paths` with what lies on them; parents before children. A device whose
 * name or label breaks the list does not hide the others: each one is then asked for alone.
 * Throws ProcessError if lsblk fails, BlockDeviceError if its output is not JSON.
 */
export async function listBlockDevices(
  exec: Exec,
  paths: readonly string[] = [],
): Promise<LsblkDevice[]> {
  const text = await askLsblk(exec, COLUMNS, paths)
  try {
    return parseLsblk(text)
  } catch (error) {
    if (paths.length > 0) return await listAlone(exec, paths)
    const names = (await lsblk(exec, ['--all', '--nodeps', '--noheadings', '--raw', '-oKNAME']))
      .split('\n')
      .filter((name) => name !== '')
    const devices = await listAlone(exec, names.map(blockDevicePath))
    if (devices.length === 0) throw error
    return devices
  }
}

/** A row that breaks even its own answer is asked for again without its texts. */
async function listAlone(exec: Exec, paths: readonly string[]): Promise<LsblkDevice[]> {
  const devices = new Map<string, LsblkDevice>()
  const plain = COLUMNS.filter((column) => !TEXT_COLUMNS.includes(column))
  for (const path of paths) {
    for (const columns of [COLUMNS, plain]) {
      const rows = await askLsblk(exec, columns, [path])
        .then(parseLsblk)
        .catch(() => undefined)
      for (const row of rows ?? []) devices.set(row.kname, merged(devices.get(row.kname), row))
      if (rows !== undefined) break
    }
  }
  return [...devices.values()]
}

async function askLsblk(
  exec: Exec,
  columns: readonly string[],
  paths: readonly string[],
): Promise<string> {
  const output = `--output=${columns.join(',')}`
  return await lsblk(exec, [
    ...['--bytes', '--ascii', '--all', '--json', output],
    ...(paths.length > 0 ? ['--', ...paths] : []),
  ])
}

async function lsblk(exec: Exec, args: readonly string[]): Promise<string> {
  const { stdout, stderr, exitCode } = await exec(['lsblk', ...args], { okExitCodes: ANSWERS })
  if (exitCode === 0 || stdout.trim() !== '') return stdout
  throw new AgentError('ProcessError', `lsblk: exit code ${exitCode}: ${stderr.trim().slice(-500)}`)
}

/** Parses `lsblk --json`: nested or flat, values as JSON types or (before util-linux 2.33) as strings. */
export function parseLsblk(text: string): LsblkDevice[] {
  const tree = parseLsblkJson(text === '' ? '{}' : text)
  const devices = new Map<string, LsblkDevice>()
  const visit = (rows: unknown, parent: string | null, depth: number): void => {
    if (!Array.isArray(rows) || depth > 16) return
    for (const row of rows) {
      if (!isObject(row)) continue
      const kname = textOf(row['kname'])
      if (kname !== null) {
        devices.set(kname, merged(devices.get(kname), deviceOf(row, kname, parent)))
      }
      visit(row['children'], kname ?? parent, depth + 1)
    }
  }
  visit(isObject(tree) ? tree['blockdevices'] : undefined, null, 0)
  return [...devices.values()]
}

/** A device on several parents has a row below each of them. */
function merged(known: LsblkDevice | undefined, row: LsblkDevice): LsblkDevice {
  if (known === undefined) return row
  return { ...known, parentKnames: [...new Set([...known.parentKnames, ...row.parentKnames])] }
}

/**
 * Labels and models are bytes of the device, and not every lsblk writes them as JSON: `\x20`, or a control
 * character as it is. Throws BlockDeviceError for what is no JSON even so.
 */
export function parseLsblkJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    const escaped = text.replaceAll(/\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})|\\/g, (found) =>
      found.length > 1 ? found : '\\\\',
    )
    try {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what JSON forbids
      return JSON.parse(escaped.replaceAll(/[\u0000-\u001f]/g, ' '))
    } catch (error) {
      throw new AgentError('BlockDeviceError', 'lsblk did not answer with JSON', { cause: error })
    }
  }
}

function deviceOf(row: JsonObject, kname: string, parent: string | null): LsblkDevice {
  return {
    kname,
    parentKnames: [textOf(row['pkname']) ?? parent].filter((name) => name !== null),
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
