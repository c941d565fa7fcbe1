// SPDX-License-Identifier: Apache-2.0
// Owns the wait for addresses before the inventory is taken: Ironic makes ports of interfaces that have one
// (contract 6.2). Does not configure interfaces; the ramdisk does.
import { sleep } from '../../core/deadline.ts'
import type { CollectorCall } from './collector.ts'

const POLL_MS = 2000

/**
 * Waits until the interface the machine booted from has an IPv4 address, or all have one with
 * `inspection_dhcp_all_interfaces`; `inspection_dhcp_wait_timeout` at most, and not at all where it is 0 or
 * nobody said which interface it was. Throws the signal's reason.
 */
export async function waitForDhcp(call: CollectorCall): Promise<void> {
  const { config, log, signal } = call
  const timeoutMs = config.inspection_dhcp_wait_timeout * 1000
  const mac = bootMac(config.bootif)
  if (timeoutMs === 0) return
  if (mac === undefined && !config.inspection_dhcp_all_interfaces) {
    log.warn('inspection: BOOTIF is not given, so no interface is waited for')
    return
  }
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const missing = await withoutAddress(call, mac)
    if (missing.length === 0) return
    const leftMs = deadline - performance.now()
    if (leftMs <= 0) {
      log.warn(
        { interfaces: missing, waited_s: timeoutMs / 1000 },
        'inspection: no address by DHCP',
      )
      return
    }
    log.debug({ interfaces: missing }, 'inspection: waiting for addresses')
    await sleep(Math.min(POLL_MS, leftMs), signal)
  }
}

async function withoutAddress(
  { config, hardware }: CollectorCall,
  mac: string | undefined,
): Promise<string[]> {
  const interfaces = await hardware.dispatch('listNetworkInterfaces')
  return interfaces
    .filter((each) => config.inspection_dhcp_all_interfaces || each.mac_address === mac)
    .filter((each) => each.ipv4_address === null)
    .map(({ name }) => name)
}

/** PXELINUX puts the hardware type before it: `01-52-54-00-aa-bb-01`. */
function bootMac(bootif: string | null): string | undefined {
  if (bootif === null) return undefined
  const mac = bootif.includes('-') ? bootif.split('-').slice(-6).join(':') : bootif
  return mac.toLowerCase()
}
