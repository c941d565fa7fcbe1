// SPDX-License-Identifier: Apache-2.0
// Owns the BMC's addresses in the inventory (contract 6.1), as far as ipmitool gets them: best effort,
// bounded, and null where there is no BMC to ask.
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'

export interface Bmc {
  /** 0.0.0.0 where the BMC has none, null without a BMC. */
  readonly address: string | null
  /** `::/0` where the BMC has none, null without a BMC. */
  readonly v6Address: string | null
  readonly mac: string | null
}

/** Of a machine without one, or where nobody is to look for it. */
export const NO_BMC: Bmc = { address: null, v6Address: null, mac: null }

/** LAN channels of IPMI; 12 to 15 are not networks. */
const CHANNELS = Array.from({ length: 11 }, (_, i) => i + 1)
const ASK_TIMEOUT_MS = 5_000
/** All questions together: an inventory is asked for synchronously, ms. */
const BUDGET_MS = 20_000

/** Asks each LAN channel until one has an address. */
export async function readBmc(deps: { readonly exec: Exec; readonly root: Root }): Promise<Bmc> {
  const nodes = await deps.root.list('/dev')
  if (!nodes.some((name) => /^ipmi/.test(name))) return NO_BMC
  const budget = AbortSignal.timeout(BUDGET_MS)
  const ask = async (argv: readonly [string, ...string[]]) => {
    try {
      const options = { timeoutMs: ASK_TIMEOUT_MS, signal: budget }
      return (await deps.exec(argv, options)).stdout
    } catch {
      return ''
    }
  }
  const bmc = { address: '0.0.0.0', v6Address: '::/0', mac: null as string | null }
  for (const channel of CHANNELS) {
    if (budget.aborted) break
    const lan = parseLan(await ask(['ipmitool', 'lan', 'print', `${channel}`]))
    const v6 = parseLan6(await ask(['ipmitool', 'lan6', 'print', `${channel}`]))
    if (lan.address) bmc.address = lan.address
    if (v6) bmc.v6Address = v6
    bmc.mac ??= lan.mac
    if (lan.address || v6) return { ...bmc, mac: lan.mac ?? bmc.mac }
  }
  return bmc
}

/** `IP Address` and `MAC Address` of `ipmitool lan print`; an unset address is null. */
export function parseLan(text: string): { address: string | null; mac: string | null } {
  const address = /^IP Address\s*:\s*([\d.]+)\s*$/m.exec(text)?.[1]
  const mac = /^MAC Address\s*:\s*([0-9a-f:]{17})\s*$/im.exec(text)?.[1]?.toLowerCase()
  return {
    address: address && address !== '0.0.0.0' ? address : null,
    mac: mac && mac !== '00:00:00:00:00:00' ? mac : null,
  }
}

/** The first active address of `ipmitool lan6 print`, static before dynamic, without its prefix length. */
export function parseLan6(text: string): string | null {
  for (const block of text.split(/^(?=IPv6 (?:Static|Dynamic) Address)/m)) {
    const address = /^\s*Address:\s*([0-9a-f:]+)\/\d+\s*$/im.exec(block)?.[1]
    const isActive = /^\s*Status:\s*active\s*$/im.test(block)
    if (address && address !== '::' && isActive) return address
  }
  return null
}
