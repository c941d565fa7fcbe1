// SPDX-License-Identifier: Apache-2.0
// Owns `speed_mbps` of an interface (contract 6.1): what it is able to, by ethtool, else the speed of its
// link. Does not bring interfaces up.
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'

const ASK_TIMEOUT_MS = 5_000

/**
 * Mbit/s: the fastest mode that the interface supports, link or none, as ironic-python-agent takes lshw's
 * `capacity`; where the driver or a missing ethtool names none, the speed of the link; else null.
 * @param signal ends the asking of all interfaces; what was not asked has the speed of its link
 */
export async function readSpeed(
  { exec, root }: { readonly exec: Exec; readonly root: Root },
  name: string,
  signal: AbortSignal,
): Promise<number | null> {
  const supported = await exec(['ethtool', name], { timeoutMs: ASK_TIMEOUT_MS, signal }).then(
    ({ stdout }) => parseSupportedSpeed(stdout),
    () => null,
  )
  return supported ?? linkSpeedOf(await root.readText(`/sys/class/net/${name}/speed`))
}

/** The fastest of `Supported link modes` in Mbit/s: `10baseT/Half 1000baseT/Full`, `100000baseLR4_ER4/Full`. */
export function parseSupportedSpeed(text: string): number | null {
  const modes = /^\s*Supported link modes:([^:]*)(?:\n[^\n:]*:|$)/m.exec(text)?.[1] ?? ''
  const speeds = [...modes.matchAll(/(?<!\S)(\d{1,9})base\S/g)].map((mode) => Number(mode[1]))
  const fastest = Math.max(0, ...speeds)
  return fastest > 0 ? fastest : null
}

/** -1, or an unsigned -1 of old drivers, means unknown (sysfs-class-net). */
function linkSpeedOf(text: string | undefined): number | null {
  const speed = Number(text ?? -1)
  return Number.isSafeInteger(speed) && speed > 0 && speed < 0xffff_ffff ? speed : null
}
