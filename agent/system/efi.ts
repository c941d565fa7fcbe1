// SPDX-License-Identifier: Apache-2.0
// Owns how this ramdisk was booted, and the boot entries of UEFI firmware, through efibootmgr. Does not look into file systems.
import type { Exec } from './exec.ts'
import type { Root } from './root.ts'

/** An entry of the firmware's boot menu. */
export interface BootEntry {
  /** Four hex digits: `001A` of Boot001A. */
  readonly number: string
  readonly label: string
  /** What it starts, as efibootmgr has it: `HD(1,GPT,…)/File(\EFI\debian\shimx64.efi)`; empty where it names nothing. */
  readonly path: string
}

/** What a new entry starts. */
export interface NewBootEntry {
  /** The whole disk: `/dev/sda`. */
  readonly devicePath: string
  readonly partitionNumber: number
  readonly label: string
  /** On the ESP, with backslashes: `\EFI\BOOT\BOOTX64.EFI`. */
  readonly loader: string
}

/** Firmware with a slow NVRAM takes seconds for each variable. */
const TIMEOUT_MS = 30_000

/** True where the kernel offers EFI runtime services: the ramdisk was booted by UEFI. */
export async function isUefi(root: Root): Promise<boolean> {
  return (await root.resolve('/sys/firmware/efi')) !== undefined
}

/** The entries the firmware has. Throws ProcessError. */
export async function listBootEntries(exec: Exec): Promise<BootEntry[]> {
  const { stdout } = await exec(['efibootmgr', '-v'], { timeoutMs: TIMEOUT_MS })
  return parseBootEntries(stdout)
}

/**
 * Parses `efibootmgr -v`: `Boot0001* label<TAB>device path`. Some versions answer in UTF-16: then every
 * other byte is a NUL, and the words only show without them (contract 5.5).
 */
export function parseBootEntries(output: string): BootEntry[] {
  const text = output.includes('BootCurrent: ') ? output : output.replaceAll('\0', '')
  const entries: BootEntry[] = []
  for (const line of text.split('\n')) {
    const match = /^Boot([0-9a-f]{4})[* ] ?([^\t\r]*)(?:\t([^\r]*))?/i.exec(line)
    if (match === null) continue
    const [, number = '', label = '', path = ''] = match
    entries.push({ number, label: label.trimEnd(), path })
  }
  return entries
}

/** Deletes an entry and its place in the boot order. Throws ProcessError. */
export async function deleteBootEntry(exec: Exec, number: string): Promise<void> {
  await exec(['efibootmgr', '-b', number, '-B'], { timeoutMs: TIMEOUT_MS })
}

/** The command that adds an entry in front of the boot order; -w gives an MBR disk its signature. */
export function newBootEntryArgv(entry: NewBootEntry): [string, ...string[]] {
  return [
    'efibootmgr',
    '-v',
    '-c',
    '-d',
    entry.devicePath,
    '-p',
    String(entry.partitionNumber),
    '-w',
    '-L',
    entry.label,
    '-l',
    entry.loader,
  ]
}

/** Adds an entry in front of the boot order. Throws ProcessError. */
export async function createBootEntry(exec: Exec, entry: NewBootEntry): Promise<void> {
  await exec(newBootEntryArgv(entry), { timeoutMs: TIMEOUT_MS })
}
