// SPDX-License-Identifier: Apache-2.0
// Owns the Redfish resources (DMTF DSP0266) that the emulator shows, in the fields that sushy and Ironic
// read. Pure: from a machine's state to JSON.
import type { BootDevice, Firmware } from './qemu-arguments.ts'

export const ROOT = '/redfish/v1'

export const BOOT_TARGETS: Readonly<Record<string, BootDevice>> = {
  Pxe: 'network',
  Hdd: 'disk',
  Cd: 'cdrom',
}

export const BOOT_MODES: Readonly<Record<string, Firmware>> = { UEFI: 'uefi', Legacy: 'bios' }

export const RESET_TYPES = ['On', 'ForceOff', 'GracefulShutdown', 'ForceRestart'] as const

/** Drives that the manager can put media in. */
export const MEDIA = { Cd: ['CD', 'DVD'], UsbStick: ['USBStick'] } as const
export type MediaName = keyof typeof MEDIA

export interface BootOverride {
  readonly enabled: 'Disabled' | 'Once' | 'Continuous'
  readonly target: string
}

export interface SystemState {
  readonly name: string
  readonly uuid: string
  readonly mac: string
  readonly isOn: boolean
  readonly firmware: Firmware
  readonly override: BootOverride
}

export function serviceRoot() {
  return {
    '@odata.id': `${ROOT}/`,
    Id: 'RootService',
    Name: 'ironswarm laboratory',
    RedfishVersion: '1.6.0',
    UUID: '1a04ad5e-0000-4000-8000-0000000000bc',
    Systems: { '@odata.id': `${ROOT}/Systems` },
    Managers: { '@odata.id': `${ROOT}/Managers` },
    Links: {},
  }
}

export function collection(path: string, members: readonly string[]) {
  return {
    '@odata.id': path,
    Name: path.split('/').at(-1),
    'Members@odata.count': members.length,
    Members: members.map((name) => ({ '@odata.id': `${path}/${name}` })),
  }
}

export function system({ name, uuid, isOn, firmware, override }: SystemState) {
  const path = `${ROOT}/Systems/${name}`
  return {
    '@odata.id': path,
    Id: name,
    Name: name,
    UUID: uuid,
    SystemType: 'Virtual',
    Manufacturer: 'QEMU',
    PowerState: isOn ? 'On' : 'Off',
    Status: { State: 'Enabled', Health: 'OK' },
    Boot: {
      BootSourceOverrideEnabled: override.enabled,
      BootSourceOverrideTarget: override.target,
      'BootSourceOverrideTarget@Redfish.AllowableValues': ['None', ...Object.keys(BOOT_TARGETS)],
      BootSourceOverrideMode: firmware === 'uefi' ? 'UEFI' : 'Legacy',
      'BootSourceOverrideMode@Redfish.AllowableValues': Object.keys(BOOT_MODES),
    },
    EthernetInterfaces: { '@odata.id': `${path}/EthernetInterfaces` },
    Links: { ManagedBy: [{ '@odata.id': `${ROOT}/Managers/${name}` }], Chassis: [] },
    Actions: {
      '#ComputerSystem.Reset': {
        target: `${path}/Actions/ComputerSystem.Reset`,
        'ResetType@Redfish.AllowableValues': RESET_TYPES,
      },
    },
  }
}

export function ethernetInterface({ name, mac }: SystemState) {
  return {
    '@odata.id': `${ROOT}/Systems/${name}/EthernetInterfaces/nic`,
    Id: 'nic',
    Name: 'nic',
    MACAddress: mac,
    PermanentMACAddress: mac,
    Status: { State: 'Enabled', Health: 'OK' },
  }
}

export function manager(name: string) {
  const path = `${ROOT}/Managers/${name}`
  return {
    '@odata.id': path,
    Id: name,
    Name: `manager of ${name}`,
    ManagerType: 'BMC',
    Status: { State: 'Enabled', Health: 'OK' },
    VirtualMedia: { '@odata.id': `${path}/VirtualMedia` },
    Links: { ManagerForServers: [{ '@odata.id': `${ROOT}/Systems/${name}` }] },
  }
}

export function virtualMedia(managerName: string, media: MediaName, imageUrl: string | undefined) {
  const path = `${ROOT}/Managers/${managerName}/VirtualMedia/${media}`
  return {
    '@odata.id': path,
    Id: media,
    Name: media,
    MediaTypes: MEDIA[media],
    Image: imageUrl ?? null,
    ImageName: imageUrl?.split('/').at(-1) ?? null,
    Inserted: imageUrl !== undefined,
    ConnectedVia: imageUrl === undefined ? 'NotConnected' : 'URI',
    WriteProtected: true,
    Actions: {
      '#VirtualMedia.InsertMedia': { target: `${path}/Actions/VirtualMedia.InsertMedia` },
      '#VirtualMedia.EjectMedia': { target: `${path}/Actions/VirtualMedia.EjectMedia` },
    },
  }
}
