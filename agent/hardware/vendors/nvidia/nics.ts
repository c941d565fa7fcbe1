// SPDX-License-Identifier: Apache-2.0
// Owns which NICs of Nvidia (Mellanox) there are and what mstflint says of their firmware. Does not change it.
import type { Exec } from '../../../system/exec.ts'
import type { Root } from '../../../system/root.ts'

/** One function of a card. */
export interface NvidiaNic {
  /** `0000:03:00.0`. */
  readonly address: string
  /** The card: the address without its function. */
  readonly card: string
  /** `1017`, lower case. */
  readonly deviceId: string
}

export interface FirmwareFacts {
  /** Of the card's kind: firmware of another PSID does not fit. */
  readonly psid: string | undefined
  /** That is in force after the next reset. */
  readonly version: string | undefined
  /** That runs, where it is another. */
  readonly runningVersion: string | undefined
}

const VENDOR = '0x15b3'
/** Network controllers (PCI class code). */
const CLASS = /^0x02/
export const QUERY_TIMEOUT_MS = 120_000

/** All functions, in the order of their addresses. */
export async function listNvidiaNics(root: Root): Promise<NvidiaNic[]> {
  const nics: NvidiaNic[] = []
  for (const address of (await root.list('/sys/bus/pci/devices')).toSorted()) {
    const read = (name: string) => root.readText(`/sys/bus/pci/devices/${address}/${name}`)
    if ((await read('vendor')) !== VENDOR || !CLASS.test((await read('class')) ?? '')) continue
    const deviceId = ((await read('device')) ?? '').replace(/^0x/, '').toLowerCase()
    nics.push({ address, card: address.replace(/\.[0-7]$/, ''), deviceId })
  }
  return nics
}

/**
 * What mstflint says of a card or of a file.
 * @param what `-d` and an address, or `-i` and a path
 * @throws AgentError ProcessError
 */
export async function queryFirmware(
  exec: Exec,
  what: readonly ['-d' | '-i', string],
): Promise<FirmwareFacts> {
  const argv = ['mstflint', ...what, '-qq', 'query'] as const
  return parseQuery((await exec(argv, { timeoutMs: QUERY_TIMEOUT_MS })).stdout)
}

/** Lines `FW Version:  16.35.2000`, `FW Version(Running):  …`, `PSID:  MT_0000000080`. */
export function parseQuery(text: string): FirmwareFacts {
  const at = (name: string) =>
    new RegExp(`^\\s*${name}:\\s*(\\S+)\\s*$`, 'm').exec(text)?.[1] ?? undefined
  return {
    psid: at('PSID'),
    version: at('FW Version'),
    runningVersion: at('FW Version\\(Running\\)'),
  }
}
