// SPDX-License-Identifier: Apache-2.0
// Owns the question which address and interface packets to a host leave from, and the machine's leave of all networks. Does
// not resolve names and tells nobody which interfaces there are (hardware/collectors/nics.ts does).
import { isIP } from 'node:net'
import { isObject, stringAt } from '../core/json.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Exec } from './exec.ts'
import { isLinkLocal } from './network/ip-network.ts'
import type { Root } from './root.ts'

/** Of one interface. */
const DOWN_TIMEOUT_MS = 10_000

/**
 * The source address the kernel's routes give for packets to `address` (contract 3.4).
 * Undefined if there is no route, or only a link-local source: a conductor cannot call that back.
 * Throws ProcessError if `ip` cannot be run.
 * @param address IPv4 or IPv6 address, no brackets, no name
 */
export async function sourceAddress(exec: Exec, address: string): Promise<string | undefined> {
  if (isLinkLocal(address)) return undefined
  const source = parseRouteSource(await routeTo(exec, address))
  return source === undefined || isLinkLocal(source) ? undefined : source
}

/**
 * The interface that packets to `address` leave by; undefined if there is no route.
 * Throws ProcessError if `ip` cannot be run.
 * @param address IPv4 or IPv6 address, no brackets, no name
 */
export async function routeInterface(exec: Exec, address: string): Promise<string | undefined> {
  return stringAt(firstRoute(await routeTo(exec, address)), 'dev')
}

/** What {@link takeOffNetworks} works with. */
export interface TakeOffDeps {
  readonly exec: Exec
  readonly root: Root
  readonly log: Pick<Logger, 'info' | 'warn'>
  /** `log`: say what would be done, do nothing (laboratories). */
  readonly machineControl: 'real' | 'log'
}

/**
 * Takes every interface but the loopback down, bonds and VLANs too. Never throws: one that stays up is in the log, and
 * nobody could be told.
 */
export async function takeOffNetworks(deps: TakeOffDeps): Promise<void> {
  const { exec, root, log } = deps
  for (const name of await root.list('/sys/class/net')) {
    if (name === 'lo' || (await root.readText(`/sys/class/net/${name}/ifindex`)) === undefined)
      continue
    const argv = ['ip', 'link', 'set', 'dev', name, 'down'] as const
    if (deps.machineControl === 'log') {
      log.info({ argv }, 'machine control is logged, not done')
      continue
    }
    await exec(argv, { timeoutMs: DOWN_TIMEOUT_MS }).catch((err) => {
      log.warn({ interface: name, err }, 'interface not taken down')
    })
  }
}

async function routeTo(exec: Exec, address: string): Promise<string> {
  // anything else would be read as an option or resolved by ip itself
  if (isIP(address) === 0) return ''
  // 2: the kernel refuses, "Network is unreachable"
  const { stdout } = await exec(['ip', '-json', 'route', 'get', address], {
    timeoutMs: 10_000,
    okExitCodes: [0, 2],
  })
  return stdout
}

/** `prefsrc` of the first route of `ip -json route get`; undefined if the output holds none. */
export function parseRouteSource(text: string): string | undefined {
  const source = stringAt(firstRoute(text), 'prefsrc')
  return source !== undefined && isIP(source) !== 0 ? source : undefined
}

function firstRoute(text: string): unknown {
  try {
    const routes: unknown = JSON.parse(text)
    return Array.isArray(routes) ? routes.find(isObject) : undefined
  } catch {
    return undefined
  }
}
