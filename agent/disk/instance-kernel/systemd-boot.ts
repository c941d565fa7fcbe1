// SPDX-License-Identifier: Apache-2.0
// Owns which entry systemd-boot starts by itself: those of the Boot Loader Specification in its order, and the default of
// loader.conf. Does not know GRUB.
import { type BlsEntry, MOST_ENTRY_BYTES, orderOfSystemdBoot, parseBlsEntry } from './bls.ts'
import { type BootEntry, cannotFollow } from './boot-entry.ts'
import type { MenuDisk } from './grub-menu/place.ts'

const MOST_ENTRIES = 256
const MOST_LOADER_CONF_BYTES = 64 * 1024
const ARCHITECTURES: Readonly<Partial<Record<NodeJS.Architecture, string>>> = {
  arm64: 'aa64',
  x64: 'x64',
}

/** Where entries may lie; paths in them begin at `at` on the same partition. */
export interface BlsFolder {
  readonly partition: number
  /** Empty, or `/boot` where that is no partition of its own. */
  readonly at: string
}

/**
 * Undefined where the folders hold no entry. Throws InvalidImage for a default that is no kernel with an initrd, such as a
 * unified kernel image.
 */
export async function chooseBlsEntry(
  folders: readonly BlsFolder[],
  disk: MenuDisk,
): Promise<BootEntry | undefined> {
  const found: { readonly folder: BlsFolder; readonly entry: BlsEntry }[] = []
  let pattern = ''
  for (const folder of folders) {
    const { partition, at } = folder
    const entries = await readEntries(folder, disk)
    found.push(...entries.map((entry) => ({ folder, entry })))
    const conf = { partition, path: `${at}/loader/loader.conf` }
    pattern ||= defaultOf((await disk.readText(conf, MOST_LOADER_CONF_BYTES)) ?? '')
  }
  found.sort((a, b) => orderOfSystemdBoot(a.entry, b.entry))
  const wanted = found.find(
    ({ entry: { id } }) => matchesGlob(`${id}.conf`, pattern) || matchesGlob(id, pattern),
  )
  if (!wanted) await refuseUnified(folders, disk)
  const chosen = wanted ?? found[0]
  return chosen && entryOf(chosen)
}

async function readEntries({ partition, at }: BlsFolder, disk: MenuDisk): Promise<BlsEntry[]> {
  const path = `${at}/loader/entries`
  const names = await disk.list({ partition, path })
  const entries: BlsEntry[] = []
  for (const name of names.filter((each) => /\.conf$/i.test(each)).slice(0, MOST_ENTRIES)) {
    const text = await disk.readText({ partition, path: `${path}/${name}` }, MOST_ENTRY_BYTES)
    if (text !== undefined) entries.push(parseBlsEntry(name, text))
  }
  const own = ARCHITECTURES[process.arch]
  return entries.filter(({ architecture }) => architecture === '' || architecture === own)
}

/** These are entries too, by an order that their contents tell. */
async function refuseUnified(folders: readonly BlsFolder[], disk: MenuDisk): Promise<void> {
  for (const { partition, at } of folders) {
    const names = await disk.list({ partition, path: `${at}/EFI/Linux` })
    if (names.some((name) => /\.efi$/i.test(name))) {
      throw cannotFollow('the image has unified kernel images, which only firmware starts')
    }
  }
}

function entryOf({ folder, entry }: { folder: BlsFolder; entry: BlsEntry }): BootEntry {
  const { id, title, linux, initrds, options, needs } = entry
  if (needs !== undefined || linux === undefined) {
    throw cannotFollow(`the entry ${id} needs ${needs ?? 'a kernel that it does not name'}`)
  }
  const fileAt = (path: string) => ({
    partition: folder.partition,
    path: path.startsWith('/') ? path : `/${path}`,
  })
  return {
    title,
    kernel: fileAt(linux),
    initrds: initrds.map(fileAt),
    commandLine: options,
  }
}

function defaultOf(loaderConf: string): string {
  return /^default[ \t]+(\S+)/m.exec(loaderConf)?.[1] ?? ''
}

/** `*` and `?`; time grows with the product of both lengths, whatever they hold. */
export function matchesGlob(text: string, pattern: string): boolean {
  let [at, in_, star, mark] = [0, 0, -1, 0]
  while (at < text.length) {
    if (pattern[in_] === '*') {
      star = in_++
      mark = at
    } else if (in_ < pattern.length && (pattern[in_] === '?' || pattern[in_] === text[at])) {
      in_++
      at++
    } else if (star >= 0) {
      in_ = star + 1
      at = ++mark
    } else return false
  }
  return /^\**$/.test(pattern.slice(in_))
}
