// SPDX-License-Identifier: Apache-2.0
// Owns the checks of this machine by itself: memory, programs, addresses, disks. Asks nobody and writes nothing.
import { freemem, networkInterfaces, totalmem, userInfo } from 'node:os'
import { resolve } from 'node:path'
import type { Config } from '../../config/options.ts'
import { detailsOf } from '../../core/errors.ts'
import { formatBytes, MiB } from '../../core/units.ts'
import { assertNotReadOnly } from '../../disk/block-device.ts'
import { readGeometry } from '../../disk/geometry.ts'
import { assertNotInUse } from '../../disk/in-use.ts'
import { type Exec, exec } from '../../system/exec.ts'
import { type LsblkDevice, listBlockDevices } from '../../system/lsblk.ts'
import { isLinkLocal } from '../../system/network/ip-network.ts'
import type { Root } from '../../system/root.ts'
import { type Finding, fail, ok, skip, warn } from './finding.ts'

/** What a write takes besides the pieces of a swarm (docs/design/015-memory.md). */
const OWN_MEMORY_BYTES = 160 * MiB

/** Programs that a write runs, with their packages in Debian. */
const PROGRAMS: Readonly<Record<string, string>> = {
  blockdev: 'util-linux',
  lsblk: 'util-linux',
  partx: 'util-linux',
  wipefs: 'util-linux',
  dd: 'coreutils',
}
/** `--version` of a program that is there takes no longer. */
const PROGRAM_MS = 10_000
/** More would bury the other findings. */
const MOST_DISKS = 20

/** What is free, and what a write over a swarm takes. */
export async function checkMemory(root: Root, config: Config): Promise<Finding> {
  const meminfo = await root.readText('/proc/meminfo')
  const kib = /^MemAvailable:\s+(\d+) kB/m.exec(meminfo ?? '')?.[1]
  const available = kib === undefined ? freemem() : Number(kib) * 1024
  const needed = OWN_MEMORY_BYTES + config.swarm_memory
  const found = `${formatBytes(available)} of ${formatBytes(totalmem())} available, ${formatBytes(needed)} wanted`
  if (available >= needed) return ok('memory', found)
  if (available >= OWN_MEMORY_BYTES) {
    return warn('memory', found, 'lower --swarm-memory, or write by HTTP alone (--swarm-mode off)')
  }
  return fail('memory', found, 'give the machine more memory, or end what takes it')
}

export async function checkPrograms(run: Exec = exec): Promise<Finding> {
  const names = Object.keys(PROGRAMS)
  const isThere = await Promise.all(
    names.map((name) =>
      run([name, '--version'], { timeoutMs: PROGRAM_MS }).then(
        () => true,
        () => false,
      ),
    ),
  )
  const missing = names.filter((_, i) => !isThere[i])
  if (missing.length === 0) return ok('programs', names.join(', '))
  const packages = [...new Set(missing.map((name) => PROGRAMS[name]))].join(' ')
  return fail('programs', `missing: ${missing.join(', ')}`, `install ${packages}, or look at PATH`)
}

/** Addresses that others could reach; loopback and link-local ones are none. */
export function checkAddresses(interfaces = networkInterfaces()): Finding {
  const found = Object.entries(interfaces).flatMap(([name, addresses = []]) =>
    addresses
      .filter(({ internal, address }) => !internal && !isLinkLocal(address))
      .map(({ address }) => `${name} ${address}`),
  )
  if (found.length > 0) return ok('network', found.join(', '))
  return fail('network', 'no interface has an address', 'plug a cable in, or set DHCP up')
}

/** Each whole disk, or the one that is named: whether a write could take it. */
export async function checkDisks(root: Root, path: string | undefined): Promise<Finding[]> {
  if (path !== undefined) return [await checkDisk(root, resolve(path), true)]
  const all = await listBlockDevices(exec)
  const disks = all.filter(({ type, sizeBytes }) => type === 'disk' && sizeBytes > 0)
  if (disks.length === 0) return [skip('disk', 'no disk here; --device names a file or a device')]
  const shown = disks.slice(0, MOST_DISKS)
  const findings = await Promise.all(
    shown.map((disk) => checkDisk(root, `/dev/${disk.kname}`, false, disk)),
  )
  const rest = disks.length - shown.length
  return rest > 0 ? [...findings, skip('disk', `${rest} more; name one by --device`)] : findings
}

/** A disk that nobody named may be in use; one that was named is to be written. */
async function checkDisk(
  root: Root,
  path: string,
  isWanted: boolean,
  disk?: LsblkDevice,
): Promise<Finding> {
  const judge = isWanted ? fail : warn
  try {
    const { sizeBytes } = await readGeometry(root, path)
    const what = [path, formatBytes(sizeBytes), disk?.model].filter(Boolean).join(', ')
    await assertNotReadOnly(root, path)
    await assertNotInUse(root, path)
    if (userInfo().uid === 0) return ok('disk', `${what}, free`)
    return judge('disk', `${what}, free`, 'only root may write it')
  } catch (error) {
    const [why = ''] = detailsOf(error).split('. ')
    return judge('disk', why, 'a write would refuse it')
  }
}
