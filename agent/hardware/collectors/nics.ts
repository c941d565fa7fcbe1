// SPDX-License-Identifier: Apache-2.0
// Owns the `interfaces` of the inventory (contract 6.1): sysfs for the hardware, `ip` for addresses.
// Does not bring interfaces up and does not listen to switches (system/lldp/).
import { AgentError } from '../../core/errors.ts'
import { isObject } from '../../core/json.ts'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { WireInterface } from '../inventory.ts'
import { isVlanName, readBiosName } from './bios-name.ts'
import { readSpeed } from './link-speed.ts'

export interface Addresses {
  readonly ipv4: string | null
  readonly ipv6: string | null
  /** The address that the hardware was made with; the kernel names it only where another one is set. */
  readonly permanentMac: string | null
}

export interface NicDeps {
  readonly exec: Exec
  readonly root: Root
  /** Hears of interfaces that are left out. */
  readonly log: Pick<Logger, 'warn'>
}

/** Asking all interfaces for their speed and their name of the firmware: Ironic waits for the answer, ms. */
const ASK_BUDGET_MS = 10_000

export type NicIdentity = Pick<WireInterface, 'mac_address' | 'client_id'>

/** The interfaces of this moment. */
export interface NicReader {
  /** Physical interfaces, VLANs and bonds, sorted; lo, bridges and taps are none of them. */
  readonly names: readonly string[]
  /**
   * Throws IncompatibleHardwareMethodError for one that Ironic could not know the node by ({@link knownMac}).
   * @param identity by which Ironic knows it, where that is not its address
   */
  describe(name: string, identity?: NicIdentity): Promise<WireInterface>
}

/** Addresses are read once for all. */
export async function openNicReader(deps: NicDeps): Promise<NicReader> {
  const addresses = await readAddresses(deps.exec)
  const budget = AbortSignal.timeout(ASK_BUDGET_MS)
  const names: string[] = []
  for (const name of await deps.root.list('/sys/class/net')) {
    if (await isOfInterest(deps.root, name)) names.push(name)
  }
  return {
    names,
    describe: async (name, identity) => {
      const own = addresses.get(name)
      const mac = identity?.mac_address ?? (await knownMac(deps, name, own?.permanentMac ?? null))
      if (mac === null) {
        throw new AgentError('IncompatibleHardwareMethodError', `${name} has no address of its own`)
      }
      const asked = {
        biosdevname: await readBiosName(deps.exec, name, budget),
        speed_mbps: await readSpeed(deps, name, budget),
      }
      return { ...(await describe(deps.root, name, mac, own)), ...asked, ...identity }
    },
  }
}

/**
 * The permanent address, since members of a bond or team all carry one and the same besides: by the
 * kernel's link attributes, by what the bond noted of its member, else the address as it is. Null for one
 * of `fa:`: makers give such an address to the NIC that a BMC shows over USB, the same on every machine,
 * so it would name another node (ironic-python-agent, filter-locally-administered-mac-fa-octet).
 */
async function knownMac(
  { root, log }: NicDeps,
  name: string,
  permanent: string | null,
): Promise<string | null> {
  const read = async (attribute: string) =>
    macOf(await root.readText(`/sys/class/net/${name}/${attribute}`))
  const mac = permanent ?? (await read('bonding_slave/perm_hwaddr')) ?? (await read('address'))
  if (!mac?.startsWith('fa:')) return mac
  log.warn(
    { interface: name, mac_address: mac },
    'network interface left out: addresses of fa: are not unique; it may be an in-band way to the BMC',
  )
  return null
}

/** Lower case; null for none and for zeros, which stand for none. */
function macOf(text: string | undefined): string | null {
  const mac = text?.trim().toLowerCase() ?? ''
  return /[1-9a-f]/.test(mac) ? mac : null
}

/** The kernel keeps what has no hardware behind it below /sys/devices/virtual (sysfs-rules.rst). */
async function isOfInterest(root: Root, name: string): Promise<boolean> {
  if (name === 'lo') return false
  if (isVlanName(name)) return true
  if ((await root.list(`/sys/class/net/${name}`)).includes('bonding')) return true
  const behind = await root.resolve(`/sys/class/net/${name}`)
  return behind !== undefined && !behind.includes('/devices/virtual/')
}

async function describe(
  root: Root,
  name: string,
  mac: string,
  addresses: Addresses | undefined,
): Promise<Omit<WireInterface, 'biosdevname' | 'speed_mbps'>> {
  const directory = `/sys/class/net/${name}`
  const read = async (attribute: string) =>
    (await root.readText(`${directory}/${attribute}`))?.trim() || null
  return {
    name,
    mac_address: mac,
    ipv4_address: addresses?.ipv4 ?? null,
    ipv6_address: addresses?.ipv6 ?? null,
    has_carrier: (await read('carrier')) === '1',
    lldp: null,
    vendor: await read('device/vendor'),
    product: await read('device/device'),
    client_id: null,
    pci_address: pciAddressOf(await root.resolve(`${directory}/device`)),
    driver: (await root.linkName(`${directory}/device/driver`)) ?? null,
  }
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

/**
 * First IPv4 and first IPv6 address by interface, and its permanent MAC; a link-local IPv6 address carries
 * its zone, `fe80::1%eno1`.
 */
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
    const permaddr = row['permaddr']
    const permanentMac = macOf(typeof permaddr === 'string' ? permaddr : undefined)
    found.set(name, { ipv4: first('inet'), ipv6, permanentMac })
  }
  return found
}
