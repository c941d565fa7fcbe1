// SPDX-License-Identifier: Apache-2.0
// Owns the manager of Mellanox (Nvidia) NICs: an InfiniBand interface has an address of 20 bytes, and Ironic knows it
// by a MAC and a DHCP client id that are made of it (contract 7.1, ironic-python-agent's mlnx). Its steps are nvidia/'s.
import { AgentError } from '../../core/errors.ts'
import type { Root } from '../../system/root.ts'
import { type NicDeps, openNicReader } from '../collectors/nics.ts'
import { type HardwareManager, type StepImplementation, SUPPORT } from '../manager.ts'
import { type FirmwareDeps, updateFirmwareImages } from './nvidia/firmware-image.ts'
import { updateFirmwareSettings } from './nvidia/firmware-settings.ts'

const VENDOR = '0x15b3'
/** Of a DHCP client id over InfiniBand, before the port's GUID. */
const CLIENT_ID_PREFIX = 'ff:00:00:00:00:00:02:00:00:02:c9:00'
const ADDRESS_OCTETS = 20
const GUID_OCTETS = 8

/** The manager `MellanoxDeviceHardwareManager`, of machines with such a NIC. */
export function createMellanoxManager(deps: NicDeps & FirmwareDeps): HardwareManager {
  const { root } = deps
  return {
    name: 'MellanoxDeviceHardwareManager',
    version: '1',
    label: 'MellanoxDeviceHardwareManager',
    evaluateHardwareSupport: async () => {
      for (const name of await root.list('/sys/class/net')) {
        if (await isMellanox(root, name)) return SUPPORT.MAINLINE
      }
      return SUPPORT.NONE
    },
    steps: firmwareSteps(deps),
    getInterfaceInfo: async (name) => {
      const address = await root.readText(`/sys/class/net/${name}/address`)
      const identity = (await isMellanox(root, name)) ? identityOf(address ?? '') : undefined
      if (identity) return await (await openNicReader(deps)).describe(name, identity)
      throw new AgentError('IncompatibleHardwareMethodError', `${name} is no InfiniBand of theirs`)
    },
  }
}

/** As ironic-python-agent announces them; the conductor shows the words to operators. */
function firmwareSteps(deps: FirmwareDeps): StepImplementation[] {
  const step = (
    name: string,
    argument: string,
    description: string,
    update: (value: unknown, deps: FirmwareDeps) => Promise<unknown>,
  ): StepImplementation => ({
    kinds: ['clean', 'deploy', 'service'],
    announce: {
      ...{ step: name, priority: 0, interface: 'deploy', reboot_requested: true, abortable: false },
      argsinfo: { [argument]: { description, required: true } },
    },
    accepts: [argument],
    run: ({ args }) => update(args[argument], deps),
  })
  return [
    step(
      'update_nvidia_nic_firmware_image',
      'images',
      'A list of firmware, each with url (http(s):// or file://), checksum, checksumType (sha256 or sha512), ' +
        'componentFlavor (the PSID) and version.',
      updateFirmwareImages,
    ),
    step(
      'update_nvidia_nic_firmware_settings',
      'settings',
      'A list with deviceID, and what to set of globalConfig, function0Config and function1Config.',
      updateFirmwareSettings,
    ),
  ]
}

async function isMellanox(root: Root, name: string): Promise<boolean> {
  return (await root.readText(`/sys/class/net/${name}/device/vendor`)) === VENDOR
}

/** The GUID is the end of the address; the MAC is its first three bytes and its last three. */
export function identityOf(
  address: string,
): { readonly mac_address: string; readonly client_id: string } | undefined {
  const octets = address.trim().toLowerCase().split(':')
  if (octets.length !== ADDRESS_OCTETS) return undefined
  const guid = octets.slice(-GUID_OCTETS)
  return {
    mac_address: [...guid.slice(0, 3), ...guid.slice(-3)].join(':'),
    client_id: [CLIENT_ID_PREFIX, ...guid].join(':'),
  }
}
