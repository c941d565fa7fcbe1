// SPDX-License-Identifier: Apache-2.0
// Owns the early end of a machine that says nothing: a guest that hangs under a KVM that only greets would
// otherwise be waited for until every timeout of the deploy has run out.
import { setTimeout as delay } from 'node:timers/promises'
import type { Accelerator } from './accelerator.ts'
import type { QemuMachine } from './qemu-machine.ts'

/** Longest silences of a machine that boots, ms: under TCG the firmware decompresses itself, mute. */
export const MUTE_MS: Readonly<Record<Accelerator, number>> = { kvm: 60_000, tcg: 240_000 }
const LOOK_EVERY_MS = 500

/**
 * Rejects when a machine that is on has written nothing to its serial console for `muteMs`. Resolves when the
 * signal aborts: what has spoken to Ironic may be silent.
 */
export async function refuseMute(
  machine: Pick<QemuMachine, 'name' | 'serial' | 'isOn'>,
  muteMs: number,
  signal: AbortSignal,
): Promise<void> {
  let end = -1
  let since = performance.now()
  while (!signal.aborted) {
    const now = performance.now()
    const reached = await machine.serial.end()
    if (reached !== end || !machine.isOn()) [end, since] = [reached, now]
    if (now - since > muteMs) {
      throw new Error(
        `${machine.name} has said nothing on its serial console for ${muteMs / 1000} s ` +
          `(${machine.serial.path}); if it hangs under KVM, try ACCEL=tcg`,
      )
    }
    await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined)
  }
}
