// SPDX-License-Identifier: Apache-2.0
// Owns the interfaces the node is known by: their addresses, and the wait for the first of them (contract 1.5
// step 6). Does not list them; hardware managers do.
import { sleep } from '../core/deadline.ts'
import { messageOf } from '../core/errors.ts'
import type { Hardware } from '../hardware/dispatcher.ts'
import type { Logger } from '../telemetry/logger.ts'

const INTERFACE_WAIT_MS = 60_000
const INTERFACE_POLL_MS = 5000

/** MAC addresses of all interfaces, in order. */
export async function macAddresses(hardware: Hardware): Promise<string[]> {
  const interfaces = await hardware.dispatch('listNetworkInterfaces')
  return interfaces.map(({ mac_address }) => mac_address)
}

/**
 * Goes on without one after a minute, and where they cannot be listed: what needs one says what is wrong.
 * Throws the signal's reason only.
 */
export async function waitForInterface(
  hardware: Hardware,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + INTERFACE_WAIT_MS
  for (;;) {
    const found = await macAddresses(hardware).catch((error: unknown) => messageOf(error))
    if (typeof found !== 'string' && found.length > 0) return
    const reason = typeof found === 'string' ? { reason: found } : {}
    if (performance.now() >= deadline) {
      return log.warn(reason, 'no network interface with a MAC address')
    }
    log.info(reason, 'waiting for a network interface')
    await sleep(INTERFACE_POLL_MS, signal)
  }
}
