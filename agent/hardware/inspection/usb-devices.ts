// SPDX-License-Identifier: Apache-2.0
// Owns the collector `usb-devices` (contract 6.2). Does not look; hardware managers do.
import type { JsonObject } from '../../core/json.ts'
import type { CollectorCall } from './collector.ts'

export async function collectUsbDevices({ hardware }: CollectorCall): Promise<JsonObject> {
  return { usb_devices: await hardware.dispatch('getUsbDevices') }
}
