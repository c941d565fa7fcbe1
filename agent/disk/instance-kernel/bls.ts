// SPDX-License-Identifier: Apache-2.0
// Owns entries of the Boot Loader Specification, type 1: their fields and their order. Does not look for the files.
import { compareVersions } from './version-order.ts'

export interface BlsEntry {
  /** Name of its file without `.conf` and without the count of tries. */
  readonly id: string
  readonly title: string
  readonly version: string
  readonly machineId: string
  readonly sortKey: string
  /** `x64`, `aa64`; empty for any. */
  readonly architecture: string
  /** From the root of the file system that holds the entry; undefined for an EFI program. */
  readonly linux: string | undefined
  readonly initrds: readonly string[]
  readonly options: string
  /** What we cannot hand on: `devicetree`, a unified kernel image. */
  readonly needs: string | undefined
  /** Its tries are used up. */
  readonly isBad: boolean
}

/** Of one entry; longer ones are nobody's. */
export const MOST_ENTRY_BYTES = 64 * 1024
const NOT_HANDED_ON = ['devicetree', 'devicetree-overlay', 'efi', 'uki', 'uki-url'] as const

/** @param name of its file, `…-6.1.0.conf`, `…-6.1.0+3-0.conf` while tries are counted */
export function parseBlsEntry(name: string, text: string): BlsEntry {
  const fields = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    // each character has one place only in the expression: a stranger's line costs no more than its length
    const [, key = '', value = ''] = /^([\w-]+)\s+(\S.*)$/s.exec(line.trim()) ?? []
    if (key === '') continue
    const before = fields.get(key)
    if (before) before.push(value)
    else fields.set(key, [value])
  }
  const first = (key: string) => fields.get(key)?.[0] ?? ''
  const stem = name.replace(/\.conf$/, '')
  const tries = /\+(\d+)(?:-\d+)?$/.exec(stem)
  return {
    id: tries ? stem.slice(0, tries.index) : stem,
    title: first('title') || stem,
    version: first('version'),
    machineId: first('machine-id'),
    sortKey: first('sort-key'),
    architecture: first('architecture').toLowerCase(),
    linux: first('linux') || undefined,
    initrds: (fields.get('initrd') ?? []).flatMap((value) => value.split(/\s+/)),
    options: (fields.get('options') ?? []).join(' '),
    needs: NOT_HANDED_ON.find((key) => fields.has(key)),
    isBad: tries !== null && Number(tries[1]) === 0,
  }
}

/** As systemd-boot shows them: bad ones last, those with a sort key first, newer before older. */
export function orderOfSystemdBoot(a: BlsEntry, b: BlsEntry): number {
  const [hasA, hasB] = [a.sortKey !== '', b.sortKey !== '']
  const byKey =
    hasA && hasB
      ? compareTexts(a.sortKey, b.sortKey) ||
        compareTexts(a.machineId, b.machineId) ||
        -compareVersions(a.version, b.version)
      : Number(hasB) - Number(hasA)
  return Number(a.isBad) - Number(b.isBad) || byKey || -compareVersions(a.id, b.id)
}

/** As GRUB's blscfg shows them: by the names of their files, newer before older. */
export function orderOfGrub(a: BlsEntry, b: BlsEntry): number {
  return -compareVersions(a.id, b.id)
}

function compareTexts(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
