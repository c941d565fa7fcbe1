// SPDX-License-Identifier: Apache-2.0
// Owns the network interfaces of the machine as the kernel lists them, for what is to be made of them. Changes none;
// hardware/collectors/nics.ts describes them to Ironic.
import { isObject, type JsonObject, objectAt, stringAt } from '../../core/json.ts'
import type { Exec } from '../exec.ts'

export interface MachineLink {
  readonly name: string
  /** Lower case: as it is now and, where another one is set, as it was made. */
  readonly macs: readonly string[]
  /** `vlan`, `bond`, `veth` …; undefined for hardware. */
  readonly kind: string | undefined
  readonly vlan?: { readonly parent: string; readonly id: number } | undefined
}

/** Every interface but loopback. Throws ProcessError if `ip` cannot be run. */
export async function listLinks(exec: Exec): Promise<MachineLink[]> {
  const { stdout } = await exec(['ip', '-details', '-json', 'link', 'show'], { timeoutMs: 60_000 })
  return parseLinks(stdout)
}

export function parseLinks(text: string): MachineLink[] {
  const rows: unknown = JSON.parse(text || '[]')
  return (Array.isArray(rows) ? rows : []).filter(isObject).flatMap((row) => {
    const name = stringAt(row, 'ifname')
    if (name === undefined || row['link_type'] === 'loopback') return []
    const kind = stringAt(row['linkinfo'], 'info_kind')
    return [{ name, macs: macsOf(row), kind, vlan: kind === 'vlan' ? vlanOf(row) : undefined }]
  })
}

function vlanOf(row: JsonObject): MachineLink['vlan'] {
  const parent = stringAt(row, 'link')
  const { id } = objectAt(objectAt(row, 'linkinfo'), 'info_data')
  return parent === undefined || typeof id !== 'number' ? undefined : { parent, id }
}

function macsOf(row: JsonObject): string[] {
  const macs = [stringAt(row, 'permaddr'), stringAt(row, 'address')]
  return [...new Set(macs.flatMap((mac) => mac?.toLowerCase() ?? []))]
}

/** Made by software from others: a MAC address does not name these. */
export function isMadeOfOthers({ kind }: MachineLink): boolean {
  return (
    kind !== undefined &&
    /^(?:bond|bridge|dummy|ipvlan|macvlan|macvtap|team|vlan|vxlan)$/.test(kind)
  )
}
