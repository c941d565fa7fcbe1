// SPDX-License-Identifier: Apache-2.0
// Owns the BMC's addresses in the inventory (contract 6.1), as far as ipmitool gets them: best effort,
// bounded, and null where there is no BMC to ask. Which of several counts is ironic-python-agent's rule.
import { isIPv4, isIPv6 } from 'node:net'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'

export interface Bmc {
  /** 0.0.0.0 where the BMC has none, null without a BMC. */
  readonly address: string | null
  /** `::/0` where the BMC has none, null without a BMC. */
  readonly v6Address: string | null
  /** Of the first channel that has an address too; else null. */
  readonly mac: string | null
}

/** Of a machine without one, or where nobody is to look for it. */
export const NO_BMC: Bmc = { address: null, v6Address: null, mac: null }

/** LAN channels of IPMI; 12 to 15 are not networks. */
const CHANNELS = Array.from({ length: 11 }, (_, i) => i + 1)
/** `lan print` is some 25 questions by a slow bus, ms. */
const ASK_TIMEOUT_MS = 10_000
/** All questions together: an inventory is asked for synchronously, ms. */
const BUDGET_MS = 20_000

/** What ipmitool prints for these words; empty where it fails or the time is up. */
type Ask = (...words: readonly string[]) => Promise<string>

/** Asks the LAN channels, those of IPv6 all by themselves: it may be on another channel than IPv4. */
export async function readBmc(deps: { readonly exec: Exec; readonly root: Root }): Promise<Bmc> {
  if (!(await hasBmc(deps.root))) return NO_BMC
  const ask = createAsk(deps.exec)
  const { address, mac } = await readLan(ask)
  return { address: address ?? '0.0.0.0', v6Address: (await readV6(ask)) ?? '::/0', mac }
}

/** True once the kernel has found a BMC; its driver may take until after the first inventory. */
export async function hasBmc(root: Root): Promise<boolean> {
  return (await root.list('/dev')).some((name) => /^ipmi/.test(name))
}

/** Nothing is asked twice. */
function createAsk(exec: Exec): Ask {
  const budget = AbortSignal.timeout(BUDGET_MS)
  const answers = new Map<string, string>()
  return async (...words) => {
    const key = words.join(' ')
    const known = answers.get(key)
    if (known !== undefined || budget.aborted) return known ?? ''
    const options = { timeoutMs: ASK_TIMEOUT_MS, signal: budget }
    const text = await exec(['ipmitool', ...words], options).then(
      ({ stdout }) => stdout,
      () => '',
    )
    answers.set(key, text)
    return text
  }
}

async function readLan(ask: Ask): Promise<{ address: string | null; mac: string | null }> {
  let address: string | null = null
  for (const channel of CHANNELS) {
    const lan = parseLan(await ask('lan', 'print', `${channel}`))
    address ??= lan.address
    if (lan.mac === null) continue
    if (lan.address !== null || (await hasRoutedV6(ask, channel))) return { address, mac: lan.mac }
  }
  return { address, mac: null }
}

/** The first channel on which IPv6 is enabled and that has an address; a dynamic one comes first. */
async function readV6(ask: Ask): Promise<string | null> {
  for (const channel of CHANNELS) {
    const enables = await ask('lan6', 'print', `${channel}`, 'enables')
    if (!/^IPv6\/IPv4 Addressing Enables\s*:.*\b(ipv6|both)\s*$/im.test(enables)) continue
    const address =
      parseLan6(await askAddresses(ask, channel, 'dynamic')) ??
      parseLan6(await askAddresses(ask, channel, 'static'))
    if (address !== null) return address
  }
  return null
}

/** Any but link-local ones, which a BMC gives itself without a network. */
async function hasRoutedV6(ask: Ask, channel: number): Promise<boolean> {
  const texts = [
    await askAddresses(ask, channel, 'dynamic'),
    await askAddresses(ask, channel, 'static'),
  ]
  return texts.flatMap(addressesIn).some(({ address }) => !/^fe[89ab]/i.test(address))
}

function askAddresses(ask: Ask, channel: number, kind: 'dynamic' | 'static'): Promise<string> {
  return ask('lan6', 'print', `${channel}`, `${kind}_addr`)
}

/** `IP Address` and `MAC Address` of `ipmitool lan print`; an unset address is null. */
export function parseLan(text: string): { address: string | null; mac: string | null } {
  const address = /^IP Address[ \t]*:[ \t]*(\S+)/m.exec(text)?.[1] ?? ''
  const mac = /^MAC Address[ \t]*:[ \t]*([0-9a-f]{2}(?::[0-9a-f]{2}){5})\s*$/im.exec(text)?.[1]
  return {
    address: isIPv4(address) && address !== '0.0.0.0' ? address : null,
    mac: mac && mac !== '00:00:00:00:00:00' ? mac.toLowerCase() : null,
  }
}

/**
 * The first address that is in use of `ipmitool lan6 print CHANNEL dynamic_addr` or `static_addr`, without
 * its prefix length: active, and enabled if static, by DHCPv6 or SLAAC if dynamic.
 */
export function parseLan6(text: string): string | null {
  return addressesIn(text).find(({ isInUse }) => isInUse)?.address ?? null
}

interface V6Address {
  readonly address: string
  readonly isInUse: boolean
}

function addressesIn(text: string): V6Address[] {
  const blocks = text.split(/^(?=IPv6 (?:Static|Dynamic) Address)/m)
  return blocks.flatMap((block) => {
    const field = (name: string) =>
      new RegExp(`^[ \\t]*${name}:[ \\t]*(\\S+)[ \\t]*$`, 'im').exec(block)?.[1]
    const address = field('Address')?.split('/')[0] ?? ''
    if (!isIPv6(address) || address === '::') return []
    const isEnabled = block.startsWith('IPv6 Dynamic')
      ? /^(dhcpv6|slaac)$/i.test(field('Source/Type') ?? '')
      : /^yes$/i.test(field('Enabled') ?? '')
    return [{ address, isInUse: isEnabled && /^active$/i.test(field('Status') ?? '') }]
  })
}
