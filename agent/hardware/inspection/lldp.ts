// SPDX-License-Identifier: Apache-2.0
// Owns the collector `lldp`: what switches say, raw as Ironic's hooks read it, and parsed for those who have
// no hook for it (contract 6.2, 6.4). Does not listen; hardware managers do.
import type { JsonObject } from '../../core/json.ts'
import { switchFacts } from '../../system/lldp/switch-facts.ts'
import type { WireLldp } from '../inventory.ts'
import type { CollectorCall } from './collector.ts'

/** Interfaces that heard nothing have an empty list, and no parsed facts. */
export async function collectLldp(call: CollectorCall): Promise<JsonObject> {
  const raw = await readRaw(call)
  const parsed = Object.entries(raw).map(([name, tlvs]) => {
    const facts = switchFacts(tlvs.map(([type, hex]) => ({ type, value: Buffer.from(hex, 'hex') })))
    return [name, facts] as const
  })
  return {
    lldp_raw: raw,
    parsed_lldp: Object.fromEntries(parsed.filter(([, facts]) => Object.keys(facts).length > 0)),
  }
}

/** The inventory has it already with `collect_lldp`: nobody listens twice. */
async function readRaw({
  config,
  hardware,
}: CollectorCall): Promise<Readonly<Record<string, WireLldp>>> {
  if (!config.collect_lldp) {
    const interfaces = await hardware.dispatch('listNetworkInterfaces')
    const names = interfaces.map(({ name }) => name)
    return await hardware.dispatch('collectLldpData', names)
  }
  const { interfaces } = await hardware.dispatch('listHardwareInfo')
  return Object.fromEntries(
    interfaces.flatMap(({ name, lldp }) => (lldp === null ? [] : [[name, lldp] as const])),
  )
}
