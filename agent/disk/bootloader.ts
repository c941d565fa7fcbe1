// SPDX-License-Identifier: Apache-2.0
// Owns the UEFI boot entries of a deployed disk (contract 5.5): find the ESP, its loaders, register them.
// Runs nothing of the image: no grub-install, no chroot (CVE-2026-43003).
import { throwIfAborted } from '../core/deadline.ts'
import { messageOf } from '../core/errors.ts'
import type { EventPublisher } from '../core/events.ts'
import {
  createBootEntry,
  deleteBootEntry,
  listBootEntries,
  type NewBootEntry,
  newBootEntryArgv,
} from '../system/efi.ts'
import type { Exec } from '../system/exec.ts'
import type { Root } from '../system/root.ts'
import { blockDeviceAt, blockDevicePath, listSlaves } from '../system/sysfs.ts'
import type { Logger } from '../telemetry/logger.ts'
import { mirrorEsp } from './md/esp-mirror.ts'
import { isSoftwareArray } from './md/member-disks.ts'
import { createFatReader, type FatReader } from './mtools.ts'
import { findEsp } from './partition-table/esp.ts'

/** Loader files by name, any case: Ironic's list. */
const LOADER_NAMES: ReadonlySet<string> = new Set([
  'bootx64.csv',
  'bootaa64.csv',
  'boot.csv',
  'bootia32.efi',
  'bootx64.efi',
  'bootia64.efi',
  'bootarm.efi',
  'bootaa64.efi',
  'bootriscv32.efi',
  'bootriscv64.efi',
  'bootriscv128.efi',
  'grubaa64.efi',
  'winload.efi',
])
/** shim's CSV files have a few hundred bytes. */
const MAX_CSV_BYTES = 64 * 1024

export interface UefiBootloaderRequest {
  readonly exec: Exec
  readonly root: Root
  readonly log: Pick<Logger, 'info' | 'warn'>
  /** `log`: boot entries are logged instead of written; the ESP is looked at all the same. */
  readonly machineControl: 'real' | 'log'
  readonly devicePath: string
  /** GUID of the partition or UUID of its file system, where the table marks no ESP. */
  readonly efiSystemPartUuid?: string | null
  /** See AssemblyPauseDeps; for arrays. */
  readonly pausePath: string
  /** Hears how far copies to members of arrays are. */
  readonly events: EventPublisher
  readonly signal?: AbortSignal | undefined
}

/** Where the ESP can be read, and from which disks firmware starts what is on it. */
interface EspPlace {
  readonly path: string
  readonly offset: number
  readonly starts: readonly EspStart[]
}

interface EspStart {
  readonly devicePath: string
  readonly partitionNumber: number
  /** What the label of its boot entry ends with. */
  readonly suffix: string
}

/**
 * Registers the loaders on the disk's ESP with the firmware, replacing entries of the same label. Of an array each member
 * gets the ESP, and an entry of its own: any of them may be the one that is left (contract 5.5).
 * The caller has made sure that this machine runs in UEFI mode.
 * @returns false if the ESP holds no known loader: there is nothing to do
 * Throws DeviceNotFound without an ESP, ProcessError if mtools or efibootmgr fail; for arrays what mirrorEsp throws.
 */
export async function installUefiBootloader(request: UefiBootloaderRequest): Promise<boolean> {
  const { exec, log, devicePath, signal } = request
  const { path, offset, starts } = await placeOfEsp(request)
  const fat = createFatReader(exec, path, offset)
  const loaders = (await fat.listFiles(signal)).filter(isLoader)
  const named = await nameLoaders({ fat, loaders, devicePath, log, signal })
  const entries = starts.flatMap(({ suffix, ...place }) =>
    named.map(({ label, loader }) => ({ ...place, label: `${label}${suffix}`, loader })),
  )
  if (entries.length === 0) {
    log.warn({ device: devicePath, esp: path, offset }, 'no boot loader on the ESP')
    return false
  }
  const registered: NewBootEntry[] = []
  try {
    for (const entry of entries) {
      registered.push(entry)
      await register(request, entry)
    }
  } catch (error) {
    for (const entry of registered) await takeBack(request, entry)
    throw error
  }
  return true
}

function isLoader(path: string): boolean {
  return LOADER_NAMES.has(baseName(path).toLowerCase())
}

async function placeOfEsp(request: UefiBootloaderRequest): Promise<EspPlace> {
  const { root, devicePath } = request
  if (await isSoftwareArray(root, devicePath)) {
    const { path, members } = await mirrorEsp(request)
    const starts = members.map(({ disk, number }, i) => ({
      ...{ devicePath: disk, partitionNumber: number },
      suffix: ` (RAID, part${i})`,
    }))
    return { path, offset: 0, starts }
  }
  const { number, range } = await findEsp(request)
  return {
    path: devicePath,
    offset: range.offset,
    starts: [{ devicePath: await pathOf(request), partitionNumber: number, suffix: '' }],
  }
}

/**
 * Of a multipath map its first path: efibootmgr asks sysfs what the disk hangs on. It reads the table there and writes
 * nothing but, by -w, the disk signature of an MBR that has none (efibootmgr(8)). What was written by the map is not in
 * the page cache of a path, which the map keeps open: an older table may be.
 */
async function pathOf({ exec, root, devicePath }: UefiBootloaderRequest): Promise<string> {
  const map = await blockDeviceAt(root, devicePath)
  const uuid = map && (await root.readText(`${map.directory}/dm/uuid`))
  const [path] = map && uuid?.startsWith('mpath-') ? await listSlaves(root, map) : []
  if (path === undefined) return devicePath
  const node = blockDevicePath(path.name)
  await exec(['blockdev', '--flushbufs', node])
  return node
}

/** What the firmware's menu calls a loader. */
type NamedLoader = Pick<NewBootEntry, 'label' | 'loader'>

interface LoaderFiles {
  readonly fat: FatReader
  readonly loaders: readonly string[]
  readonly devicePath: string
  readonly log: Pick<Logger, 'warn'>
  readonly signal: AbortSignal | undefined
}

/** The first CSV file that names a loader wins alone; without one each loader gets an entry `ironic<N>`. */
async function nameLoaders(files: LoaderFiles): Promise<NamedLoader[]> {
  const { loaders, devicePath, log } = files
  for (const csv of loaders.filter(isCsv)) {
    const named = await readLoaderCsv(files, csv)
    if (named !== undefined) {
      const loader = firmwarePath(csv.slice(0, csv.length - baseName(csv).length) + named.file)
      return [{ label: named.label, loader }]
    }
    log.warn(
      { device: devicePath, path: csv },
      'CSV names no loader; its neighbours are registered',
    )
  }
  return loaders
    .filter((path) => !isCsv(path))
    .map((path, i) => ({ label: `ironic${i + 1}`, loader: firmwarePath(path) }))
}

/** Undefined for one that cannot be read: it must not keep the loaders beside it from being found. */
async function readLoaderCsv(
  { fat, devicePath, log, signal }: LoaderFiles,
  path: string,
): Promise<{ file: string; label: string } | undefined> {
  try {
    return parseLoaderCsv(await fat.readFile(path, MAX_CSV_BYTES, signal))
  } catch (error) {
    if (signal) throwIfAborted(signal)
    log.warn({ device: devicePath, path, reason: messageOf(error) }, 'CSV cannot be read')
    return undefined
  }
}

async function register(request: UefiBootloaderRequest, entry: NewBootEntry): Promise<void> {
  const { exec, log } = request
  if (request.machineControl === 'log') {
    log.info({ argv: newBootEntryArgv(entry) }, 'machine control is logged, not done')
    return
  }
  for (const { number, label } of await listBootEntries(exec)) {
    if (label !== entry.label) continue
    log.info({ boot_entry: number, label }, 'boot entry of the same label deleted')
    await deleteBootEntry(exec, number)
  }
  await createBootEntry(exec, entry)
  log.info({ label: entry.label, loader: entry.loader }, 'boot entry created')
}

/** Half of them is no boot menu. What cannot be taken back is logged; the first failure is what is told. */
async function takeBack(
  { exec, log, machineControl }: UefiBootloaderRequest,
  { label }: NewBootEntry,
): Promise<void> {
  if (machineControl === 'log') return
  try {
    const left = (await listBootEntries(exec)).filter((entry) => entry.label === label)
    for (const { number } of left) await deleteBootEntry(exec, number)
    log.info({ label }, 'boot entry taken back')
  } catch (err) {
    log.warn({ err, label }, 'boot entry left behind')
  }
}

/**
 * The first line of shim's CSV: `file,label,options,comment` in UTF-16, with or without byte order mark
 * (shim README.fallback). Undefined if it names no file or no label.
 */
export function parseLoaderCsv(bytes: Uint8Array): { file: string; label: string } | undefined {
  const [line] = decodeCsv(bytes)
    .split(/\r?\n/)
    .filter((text) => text.trim() !== '')
  const [file, label] = (line ?? '').split(',').map((field) => field.trim())
  return file && label ? { file, label } : undefined
}

function decodeCsv(bytes: Uint8Array): string {
  const isBigEndian = bytes[0] === 0xfe && bytes[1] === 0xff
  // ASCII text in UTF-16 has a NUL in every pair; a CSV written by hand has none
  const encoding = isBigEndian ? 'utf-16be' : bytes.includes(0) ? 'utf-16le' : 'utf-8'
  return new TextDecoder(encoding).decode(bytes)
}

function firmwarePath(path: string): string {
  return `\\${path.replaceAll('/', '\\')}`
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

function isCsv(path: string): boolean {
  return path.toLowerCase().endsWith('.csv')
}
