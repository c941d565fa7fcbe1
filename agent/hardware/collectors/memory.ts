// SPDX-License-Identifier: Apache-2.0
// Owns the `memory` of the inventory (contract 6.1): what the kernel uses, and what is plugged in.
import { KiB, MiB } from '../../core/units.ts'
import type { Root } from '../../system/root.ts'
import type { Inventory } from '../inventory.ts'

/**
 * `total` is MemTotal in bytes. `physical_mb` counts the memory blocks the firmware gave the kernel
 * (Documentation/admin-guide/mm/memory-hotplug): it includes what the kernel keeps to itself.
 */
export async function readMemory(root: Root): Promise<Inventory['memory']> {
  return {
    total: parseMemTotal((await root.readText('/proc/meminfo')) ?? ''),
    physical_mb: await readPhysicalMiB(root),
  }
}

function parseMemTotal(meminfo: string): number | null {
  const match = /^MemTotal:\s+(\d+) kB$/m.exec(meminfo)
  return match ? Number(match[1]) * KiB : null
}

async function readPhysicalMiB(root: Root): Promise<number | null> {
  const directory = '/sys/devices/system/memory'
  const blockBytes = Number.parseInt(
    (await root.readText(`${directory}/block_size_bytes`)) ?? '',
    16,
  )
  if (!Number.isSafeInteger(blockBytes) || blockBytes <= 0) return null
  const blocks = (await root.list(directory)).filter((name) => /^memory\d+$/.test(name))
  return blocks.length === 0 ? null : Math.round((blocks.length * blockBytes) / MiB)
}
