// SPDX-License-Identifier: Apache-2.0
// Owns the `memory` of the inventory (contract 6.1): what the kernel uses, and what is plugged in.
import { KiB, MiB, parseBytes } from '../../core/units.ts'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import type { Inventory } from '../inventory.ts'

const DMIDECODE_TIMEOUT_MS = 10_000

/**
 * `total` is MemTotal in bytes. `physical_mb` is what the firmware says of the modules, since Ironic makes `memory_mb` of
 * it; where it says nothing, the memory blocks that it gave the kernel (Documentation/admin-guide/mm/memory-hotplug).
 */
export async function readMemory(deps: {
  readonly exec: Exec
  readonly root: Root
}): Promise<Inventory['memory']> {
  const { root } = deps
  return {
    total: parseMemTotal((await root.readText('/proc/meminfo')) ?? ''),
    physical_mb: (await readModulesMiB(deps.exec)) ?? (await readBlocksMiB(root)),
  }
}

async function readModulesMiB(exec: Exec): Promise<number | null> {
  const argv = ['dmidecode', '--type', '17'] as const
  return await exec(argv, { timeoutMs: DMIDECODE_TIMEOUT_MS }).then(
    ({ stdout }) => parseModulesMiB(stdout),
    () => null,
  )
}

/**
 * The sizes of all memory devices of `dmidecode --type 17`, `16 GB` until dmidecode 3.6 and `16 GiB` from 3.7; null where
 * none has a size.
 */
export function parseModulesMiB(text: string): number | null {
  const sizes = [...text.matchAll(/^\s*Size: (\d{1,9} [kMGT]i?B)$/gm)]
  const bytes = sizes.reduce((sum, [, size]) => sum + (parseBytes(size ?? '') ?? 0), 0)
  return bytes === 0 ? null : Math.round(bytes / MiB)
}

function parseMemTotal(meminfo: string): number | null {
  const match = /^MemTotal:\s+(\d+) kB$/m.exec(meminfo)
  return match ? Number(match[1]) * KiB : null
}

async function readBlocksMiB(root: Root): Promise<number | null> {
  const directory = '/sys/devices/system/memory'
  const blockBytes = Number.parseInt(
    (await root.readText(`${directory}/block_size_bytes`)) ?? '',
    16,
  )
  if (!Number.isSafeInteger(blockBytes) || blockBytes <= 0) return null
  const blocks = (await root.list(directory)).filter((name) => /^memory\d+$/.test(name))
  return blocks.length === 0 ? null : Math.round((blocks.length * blockBytes) / MiB)
}
