// A machine with two NUMA nodes, a BMC, USB and a maker's words in its firmware, booted from the ramdisk for bare metal: what it
// posts to Ironic is what QEMU was told that it has.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BMC_NETWORK } from '../../support/vm/bmc.ts'
import { SMALL_IMAGE } from '../../support/vm/ironic-lab.ts'
import { SERVER_FIRMWARE } from '../../support/vm/qemu-arguments.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { metalRamdisk, whyNoRamdisk } from '../../support/vm/ramdisk.ts'
import { BOOT_TIMEOUT_MS, bootAgent } from './agent-steps.ts'
import { createVmLab, type VmLab } from './lab.ts'
import { canBootMachines } from './requirements.ts'

const FOLDER = join(import.meta.dirname, '../../../build/test-vm/server')
const MEMORY_MIB = 1024
const COLLECTORS = 'default,pci-devices,usb-devices,numa-topology,dmi-decode'

function canBootMetal(): boolean {
  const reason = whyNoRamdisk(metalRamdisk())
  if (reason) console.log(`skipped: no machine boots as bare metal: ${reason}`)
  return canBootMachines() && reason === undefined
}

describe.skipIf(!canBootMetal())('a server', { timeout: 2 * BOOT_TIMEOUT_MS }, () => {
  let lab: VmLab
  let machine: QemuMachine
  let posted: Record<string, unknown>

  beforeAll(async () => {
    const setting = { nodes: 1, boot: 'direct', firmware: 'bios', isSwarm: false } as const
    const size = { image: SMALL_IMAGE, memoryMib: MEMORY_MIB, isServer: true }
    lab = await createVmLab({ ...setting, ...size, ramdisk: metalRamdisk() }, FOLDER, 'any')
    machine = lab.machines[0] as QemuMachine
    lab.ironic.inspect(machine.uuid)
    const callback = `ipa-inspection-callback-url=${lab.ironic.url}/v1/continue_inspection`
    await bootAgent(lab, machine, `${callback} ipa-inspection-collectors=${COLLECTORS}`)
    const call = lab.ironic.apiCalls.find(({ path }) => path.endsWith('/continue_inspection'))
    posted = call?.body as Record<string, unknown>
  }, 2 * BOOT_TIMEOUT_MS)

  afterAll(() => lab?.[Symbol.asyncDispose]())

  test('posts its inspection without a failure', () => {
    expect(posted).toMatchObject({
      error: null,
      configuration: { collectors: COLLECTORS.split(',') },
    })
  })

  test('says what its firmware says, and how many modules it has', () => {
    const { biosVendor, biosVersion, biosDate, manufacturer, product, serial, sku } =
      SERVER_FIRMWARE
    const firmware = { vendor: biosVendor, version: biosVersion, build_date: biosDate }
    expect(posted['inventory']).toMatchObject({
      system_vendor: {
        ...{ manufacturer, product_name: `${product} (${sku})`, serial_number: serial },
        firmware,
      },
      memory: { physical_mb: MEMORY_MIB },
      boot: { current_boot_mode: 'bios', pxe_interface: machine.mac },
    })
    expect(posted['dmi']).toMatchObject({
      bios: { Vendor: biosVendor, Version: biosVersion, 'Release Date': biosDate },
    })
  })

  test('has a BMC, asked over KCS, with one LAN channel and no IPv6', () => {
    expect(posted['inventory']).toMatchObject({
      ...{ bmc_address: BMC_NETWORK.ip_addr, bmc_mac: BMC_NETWORK.mac_addr },
      bmc_v6address: '::/0',
    })
  })

  test('has two NUMA nodes with half of the memory and a core each', () => {
    const { ram, cpus } = posted['numa_topology'] as Record<string, Record<string, number>[]>
    expect(ram?.map(({ numa_node }) => numa_node)).toEqual([0, 1])
    for (const { size_kb = 0 } of ram ?? []) {
      // the kernel keeps some
      expect(size_kb).toBeGreaterThan(MEMORY_MIB * 512 * 0.7)
      expect(size_kb).toBeLessThanOrEqual(MEMORY_MIB * 512)
    }
    expect(cpus).toEqual([
      { cpu: 0, numa_node: 0, thread_siblings: [0] },
      { cpu: 0, numa_node: 1, thread_siblings: [1] },
    ])
    expect(posted['inventory']).toMatchObject({ cpu: { count: 2, socket_count: 2 } })
  })

  test('has a USB tablet', () => {
    expect(posted['usb_devices']).toEqual([
      {
        product: 'QEMU USB Tablet',
        vendor: 'QEMU',
        handle: expect.stringMatching(/^USB:\d+:\d+$/),
      },
    ])
  })

  test('has a virtio NIC and disk where PCI says', () => {
    const { interfaces, disks } = posted['inventory'] as Record<string, Record<string, unknown>[]>
    expect(interfaces).toMatchObject([
      { mac_address: machine.mac, driver: 'virtio_net', vendor: '0x1af4', has_carrier: true },
    ])
    const buses = (posted['pci_devices'] as { bus: string }[]).map(({ bus }) => bus)
    expect(buses).toContain(interfaces?.[0]?.['pci_address'])
    expect(disks).toMatchObject([{ name: '/dev/vda', vendor: '0x1af4', serial: machine.name }])
  })
})
