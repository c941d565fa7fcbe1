// SPDX-License-Identifier: Apache-2.0
// Owns what is plugged in by USB, hubs left out, as sysfs has it (contract 6.2). ironic-python-agent asks lshw, which
// reads the same.
import type { Root } from '../../system/root.ts'
import type { WireUsbDevice } from '../inventory.ts'

const DEVICES = '/sys/bus/usb/devices'
/** USB class codes: 09 is a hub, which no root hub is without. */
const HUB = '09'
/** A bus has 127 addresses. */
const MAX_DEVICES = 1024
/** USB 2.0 9.6.7: a string descriptor is no longer. */
const MAX_CHARS = 126

/** A machine without any is no failure. */
export async function readUsbDevices(root: Root): Promise<WireUsbDevice[]> {
  const devices: WireUsbDevice[] = []
  for (const name of await root.list(DEVICES)) {
    // 1-1:1.0 is an interface of the device 1-1
    if (name.includes(':') || devices.length === MAX_DEVICES) continue
    const read = async (attribute: string) =>
      ((await root.readText(`${DEVICES}/${name}/${attribute}`)) ?? '').trim().slice(0, MAX_CHARS)
    if ((await read('bDeviceClass')) === HUB) continue
    const [bus, number] = [await read('busnum'), await read('devnum')]
    devices.push({
      product: await read('product'),
      vendor: await read('manufacturer'),
      // as lshw has it
      handle: `USB:${bus}:${number}`,
    })
  }
  return devices
}
