// SPDX-License-Identifier: Apache-2.0
// Owns the laboratory of `make test-vm`: an unmodified Ironic that switches QEMU machines on and off by
// its own Redfish driver and boots them by its own iPXE scripts or virtual media. Does not deploy.
import { existsSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Ironic, type IronicNode, startIronic } from '../ironic.ts'
import { type Accelerator, findAccelerator } from './accelerator.ts'
import { createImageSource, type ImageSource } from './image-source.ts'
import { createNetwork, LAB_ADDRESS } from './network.ts'
import type { Firmware } from './qemu-arguments.ts'
import { createQemuMachine, type QemuMachine } from './qemu-machine.ts'
import { findRamdisk, KERNEL_WORDS } from './ramdisk.ts'
import { createRedfishEmulator, type RedfishEmulator } from './redfish-emulator.ts'

const PROJECT = join(import.meta.dirname, '../../..')
/** UEFI loader for the ISOs that Ironic makes; `make iso` makes it. */
const ESP_IMAGE = join(PROJECT, 'build/ironswarm-esp.img')
/** Smaller than the usual one: under TCG a MiB counts. */
export const SMALL_IMAGE = join(PROJECT, 'build/instance-image-small.raw')

export interface MachineWish {
  readonly name: string
  readonly firmware: Firmware
  /** See `Hardware.hasPlainNic`. */
  readonly hasPlainNic?: boolean
  /** See `Hardware.hasNvme`. */
  readonly hasNvme?: boolean
  /** See `Hardware.clock`. */
  readonly clock?: string
  /** DHCP does not know it. */
  readonly isUnknownToDhcp?: boolean
}

export interface EnrolWish {
  readonly bootInterface?: 'ipxe' | 'redfish-virtual-media'
  readonly automatedClean?: boolean
  /** The node's `network_data`: Ironic writes it into the boot medium. */
  readonly networkData?: Readonly<Record<string, unknown>>
  /** Behind those of all machines, on the kernel line. */
  readonly kernelWords?: string
}

export interface IronicLab extends AsyncDisposable {
  readonly ironic: Ironic
  readonly redfish: RedfishEmulator
  readonly source: ImageSource
  readonly accelerator: Accelerator
  machine(name: string): QemuMachine
  /**
   * Creates the node with its port and brings it to `available`; its uuid. A machine that was enrolled
   * before is switched off and its node is forgotten.
   */
  enrol(machine: QemuMachine, wish?: EnrolWish): Promise<string>
}

/** True if Ironic can make ISOs for UEFI machines. */
export function hasEspImage(): boolean {
  return existsSync(ESP_IMAGE)
}

/** Ironic up, machines off. `folder` gets disks and logs and is emptied before. */
export async function createIronicLab(
  wishes: readonly MachineWish[],
  folder: string,
): Promise<IronicLab> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await using stack = new AsyncDisposableStack()
  const { kernel, initramfs } = findRamdisk(process.env)
  const accelerator = await findAccelerator(kernel, process.env)
  const network = stack.use(await createNetwork({ folder, taps: wishes.length }))
  const source = stack.use(await createImageSource(SMALL_IMAGE, folder))
  const machines: QemuMachine[] = []
  for (const [i, wish] of wishes.entries()) {
    const tap = network.taps[i] as string
    machines.push(stack.use(await createQemuMachine({ ...wish, folder, accelerator, tap })))
  }
  const redfish = stack.use(
    await createRedfishEmulator({
      machines,
      host: LAB_ADDRESS,
      folder: join(folder, 'media'),
      onAction: ({ machine, what }) => {
        void machines.find(({ name }) => name === machine)?.serial.note(`Redfish: ${what}`)
      },
    }),
  )
  const ironic = stack.use(
    await startIronic({
      host: LAB_ADDRESS,
      settings: SETTINGS,
      files: { 'vm-kernel': kernel, 'vm-ramdisk': initramfs },
    }),
  )
  const unknown = machines.filter((_, i) => wishes[i]?.isUnknownToDhcp).map(({ mac }) => mac)
  await network.serveBoot(`${ironic.filesUrl}/boot.ipxe`, unknown)
  const nodeOf = new Map<string, string>()
  const owned = stack.move()
  return {
    ironic,
    redfish,
    source,
    accelerator,
    machine: (name) => {
      const found = machines.find((machine) => machine.name === name)
      if (!found) throw new Error(`the laboratory has no machine ${name}`)
      return found
    },
    enrol: async (machine, wish = {}) => {
      await machine.powerOff()
      await forget(ironic, nodeOf.get(machine.name))
      const uuid = await createNode(ironic, redfish, machine, wish)
      nodeOf.set(machine.name, uuid)
      await ironic.provision(uuid, 'manage')
      await ironic.waitFor(uuid, ['manageable'])
      await ironic.provision(uuid, 'provide')
      await ironic.waitFor(uuid, ['available'], 900_000)
      return uuid
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Whatever state the node is in; while the conductor works on it, it is locked. */
async function forget(ironic: Ironic, uuid: string | undefined): Promise<void> {
  if (uuid === undefined) return
  for (let tries = 1; ; tries++) {
    try {
      await ironic.call('PUT', `/v1/nodes/${uuid}/maintenance`, { reason: 'the test is over' })
      await ironic.call('DELETE', `/v1/nodes/${uuid}`)
      return
    } catch (error) {
      if (tries === 30) throw error
      await delay(2000)
    }
  }
}

async function createNode(
  ironic: Ironic,
  redfish: RedfishEmulator,
  machine: QemuMachine,
  { bootInterface = 'ipxe', automatedClean = false, networkData, kernelWords }: EnrolWish,
): Promise<string> {
  const [kernel, ramdisk] = ['vm-kernel', 'vm-ramdisk'].map((name) => `${ironic.filesUrl}/${name}`)
  const { uuid } = (await ironic.call('POST', '/v1/nodes', {
    name: `${machine.name}-${Date.now()}`,
    driver: 'redfish',
    boot_interface: bootInterface,
    deploy_interface: 'direct',
    rescue_interface: 'agent',
    automated_clean: automatedClean,
    ...(networkData ? { network_data: networkData } : {}),
    driver_info: {
      redfish_address: redfish.url,
      redfish_system_id: redfish.systemId(machine),
      redfish_username: redfish.user,
      redfish_password: redfish.password,
      redfish_auth_type: 'basic',
      deploy_kernel: kernel,
      deploy_ramdisk: ramdisk,
      rescue_kernel: kernel,
      rescue_ramdisk: ramdisk,
      ...(kernelWords ? { kernel_append_params: `${KERNEL_WORDS} ${kernelWords}` } : {}),
    },
    properties: {
      cpu_arch: 'x86_64',
      local_gb: 5,
      memory_mb: 512,
      cpus: 1,
      capabilities: `boot_mode:${machine.setup.firmware}`,
    },
  })) as IronicNode
  await ironic.call('POST', '/v1/ports', { node_uuid: uuid, address: machine.mac })
  return uuid
}

const SETTINGS = {
  DEFAULT: {
    enabled_hardware_types: 'redfish,manual-management',
    enabled_boot_interfaces: 'ipxe,redfish-virtual-media',
    enabled_management_interfaces: 'redfish,noop',
    enabled_power_interfaces: 'redfish,fake',
    enabled_vendor_interfaces: 'no-vendor',
    isolinux_bin: '/usr/lib/ISOLINUX/isolinux.bin',
    ldlinux_c32: '/usr/lib/syslinux/modules/bios/ldlinux.c32',
    esp_image: ESP_IMAGE,
  },
  agent: {
    post_deploy_get_power_state_retries: 90,
    post_deploy_get_power_state_retry_interval: 1,
  },
  conductor: { power_state_change_timeout: 60, force_power_state_during_sync: 'False' },
  // every byte of a disk would take minutes
  deploy: { erase_devices_priority: 0, erase_devices_metadata_priority: 10 },
  pxe: { kernel_append_params: KERNEL_WORDS },
  // ISOs of virtual media are served from http_root; the default asks keystone for Swift
  redfish: { kernel_append_params: KERNEL_WORDS, use_swift: 'False' },
} as const
