// SPDX-License-Identifier: Apache-2.0
// Owns the collector `default`: the inventory, the disk that would become the root disk without hints, and
// who collected (contract 6.2). Does not take the inventory; hardware managers do.
import { isAgentError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import type { Inventory, WireDisk } from '../inventory.ts'
import type { CollectorCall } from './collector.ts'
import { waitForDhcp } from './dhcp-wait.ts'

/** Waits for addresses first. Throws what the inventory throws. */
export async function collectDefault(call: CollectorCall): Promise<JsonObject> {
  const { hardware, names } = call
  await waitForDhcp(call)
  const inventory = await hardware.dispatch('listHardwareInfo')
  const rootDisk = await findRootDisk(call, inventory)
  return {
    inventory,
    ...(rootDisk === undefined ? {} : { root_disk: rootDisk }),
    boot_interface: inventory.boot.pxe_interface,
    configuration: {
      collectors: names,
      managers: hardware.managers.map(({ manager: { name, version } }) => ({ name, version })),
    },
  }
}

/** No disk that is large enough is no failure: ironic-python-agent leaves the key out. */
async function findRootDisk(
  { hardware, log }: CollectorCall,
  inventory: Inventory,
): Promise<WireDisk | undefined> {
  try {
    const { name } = await hardware.dispatch('getOsInstallDevice', undefined)
    return inventory.disks.find((disk) => disk.name === name)
  } catch (error) {
    if (!isAgentError(error, 'DeviceNotFound')) throw error
    log.warn({ reason: error.details }, 'inspection: no disk to deploy to')
    return undefined
  }
}
