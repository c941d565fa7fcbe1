// SPDX-License-Identifier: Apache-2.0
// Owns the `interfaces` of the inventory (contract 6.1): sysfs for the hardware, `ip` for addresses.
// Does not bring interfaces up and does not listen to switches (system/lldp/).
import { isObject } from '../../core/json.ts'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import type { WireInterface } from '../inventory.ts'

interface Addresses {
  readonly ipv4: string | null
  readonly ipv6: string | null
}

/** Physical interfaces, VLANs and bonds, by name; lo, bridges and taps are none of them. */
export async function listNetworkInterfaces(deps: {
  readonly exec: Exec
  readonly root: Root
}): Promise<WireInterface[]> {
  const addresses = await readAddresses(deps.exec)
  const interfaces: WireInterface[] = []
  for (const name of await deps.root.list('/sys/class/net')) {
    if (await isOfInterest(deps.root, name)) {
      interfaces.push(await describe(deps.root, name, addresses.get(name)))
    }
  }
  return interfaces
}

/** The kernel keeps what has no hardware behind it below /sys/devices/virtual (sysfs-rules.rst). */
async function isOfInterest(root: Root, name: string): Promise<boolean> {
  if (name === 'lo') return false
  if (/\.\d+$/.test(name)) return true
  if ((await root.list(`/sys/class/net/${name}`)).includes('bonding')) return true
  const behind = await root.resolve(`/sys/class/net/${name}`)
  return behind !== undefined && !behind.includes('/devices/virtual/')
}

async function describe(
  root: Root,
  name: string,
  addresses: Addresses | undefined,
): Promise<WireInterface> {
  const directory = `/sys/class/net/${name}`
  const read = async (attribute: string) =>
    (await root.readText(`${directory}/${attribute}`))?.trim() || null
  return {
    name,
    mac_address: (await read('address'))?.toLowerCase() ?? null,
    ipv4_address: addresses?.ipv4 ?? null,
    ipv6_address: addresses?.ipv6 ?? null,
    has_carrier: (await read('carrier')) === '1',
    lldp: null,
    vendor: await read('device/vendor'),
    product: await read('device/device'),
    client_id: null,
    biosdevname: null,
    speed_mbps: speedOf(await read('speed')),
    pci_address: pciAddressOf(await root.resolve(`${directory}/device`)),
    driver: (await root.linkName(`${directory}/device/driver`)) ?? null,
  }
}

/** -1, or an unsigned -1 of old drivers, means unknown (sysfs-class-net). */
function speedOf(text: string | null): number | null {
  const speed = Number(text ?? -1)
  return Number.isSafeInteger(speed) && speed > 0 && speed < 0xffff_ffff ? speed : null
}

/** The last PCI address on the way to the device: a virtio NIC sits below its PCI function. */
function pciAddressOf(path: string | undefined): string | null {
  const parts = path?.split('/') ?? []
  return (
    parts.findLast((part) => /^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i.test(part)) ?? null
  )
}

async function readAddresses(exec: Exec): Promise<Map<string, Addresses>> {
  try {
    const { stdout } = await exec(['ip', '-json', 'address', 'show'], { timeoutMs: 10_000 })
    return parseAddresses(stdout)
  } catch {
    return new Map()
  }
}

/** First IPv4 and first IPv6 address by interface; a link-local one carries its zone, `fe80::1%eno1`. */
export function parseAddresses(text: string): Map<string, Addresses> {
  const rows: unknown = JSON.parse(text || '[]')
  const found = new Map<string, Addresses>()
  for (const row of Array.isArray(rows) ? rows : []) {
    if (!isObject(row) || typeof row['ifname'] !== 'string') continue
    const name = row['ifname']
    const infos = (Array.isArray(row['addr_info']) ? row['addr_info'] : []).filter(isObject)
    const first = (family: string, scope?: string) => {
      const info = infos.find(
        (one) => one['family'] === family && (scope === undefined || one['scope'] === scope),
      )
      return typeof info?.['local'] === 'string' ? info['local'] : null
    }
    const linkLocal = first('inet6', 'link')
    const ipv6 = first('inet6', 'global') ?? (linkLocal && `${linkLocal}%${name}`)
    found.set(name, { ipv4: first('inet'), ipv6 })
  }
  return found
}
