// A machine with two NUMA nodes, a BMC, USB, NICs for a bond and a maker's words in its firmware, booted from the ramdisk for
// bare metal: what it posts to Ironic is what QEMU was told that it has.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Inventory } from '../../../agent/hardware/inventory.ts'
import { BMC_NETWORK } from '../../support/vm/bmc.ts'
import { SMALL_IMAGE } from '../../support/vm/ironic-lab.ts'
import { createProbe, type Probe, type ProbeReport } from '../../support/vm/probed-ramdisk.ts'
import { SERVER_FIRMWARE, SERVER_NICS } from '../../support/vm/qemu-arguments.ts'
import type { QemuMachine } from '../../support/vm/qemu-machine.ts'
import { metalRamdisk, whyNoRamdisk } from '../../support/vm/ramdisk.ts'
import { BOOT_TIMEOUT_MS, bootAgent } from './agent-steps.ts'
import { createVmLab, type VmLab } from './lab.ts'
import { canBootMachines } from './requirements.ts'

const FOLDER = join(import.meta.dirname, '../../../build/test-vm/server')
const MEMORY_MIB = 1024
const COLLECTORS = 'default,pci-devices,usb-devices,numa-topology,dmi-decode'

/** Once the agent has looked the node up; its driver has the BMC late, and slow words of a BMC count as none. */
const BOND_AND_BMC = [
  'ip link add bond0 type bond mode active-backup',
  'for name in $(ls /sys/class/net); do',
  '  case $(cat /sys/class/net/$name/address) in 52:54:00:e1:*)',
  '    ip link set $name down && ip link set $name master bond0 ;; esac',
  'done',
  'for second in $(seq 300); do [ -e /dev/ipmi0 ] && break; sleep 1; done',
  'for try in 1 2 3 4 5; do',
  '  /usr/bin/ironswarm inventory >/tmp/inventory',
  `  grep -q ${BMC_NETWORK.mac_addr} /tmp/inventory && break`,
  'done',
  'cat /tmp/inventory',
].join('\n')

function canBootMetal(): boolean {
  const reason = whyNoRamdisk(metalRamdisk())
  if (reason) console.log(`skipped: no machine boots as bare metal: ${reason}`)
  return canBootMachines() && reason === undefined
}

describe.skipIf(!canBootMetal())('a server', { timeout: 2 * BOOT_TIMEOUT_MS }, () => {
  let lab: VmLab
  let machine: QemuMachine
  let probe: Probe
  let posted: Record<string, unknown>

  beforeAll(async () => {
    const setting = { nodes: 1, boot: 'direct', firmware: 'bios', isSwarm: false } as const
    const size = { image: SMALL_IMAGE, memoryMib: MEMORY_MIB, isServer: true }
    lab = await createVmLab({ ...setting, ...size, ramdisk: metalRamdisk() }, FOLDER, 'any')
    machine = lab.machines[0] as QemuMachine
    lab.ironic.inspect(machine.uuid)
    const { kernel } = machine.setup
    if (!kernel) throw new Error('the laboratory has no machine with a kernel')
    probe = await createProbe(kernel.initramfs, [BOND_AND_BMC], FOLDER)
    machine.setup.kernel = { ...kernel, initramfs: probe.initramfs }
    const callback = `ipa-inspection-callback-url=${lab.ironic.url}/v1/continue_inspection`
    await bootAgent(lab, machine, `${callback} ipa-inspection-collectors=${COLLECTORS}`)
    const call = lab.ironic.apiCalls.find(({ path }) => path.endsWith('/continue_inspection'))
    posted = call?.body as Record<string, unknown>
  }, 2 * BOOT_TIMEOUT_MS)

  afterAll(async () => {
    await probe?.[Symbol.asyncDispose]()
    await lab?.[Symbol.asyncDispose]()
  })

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
    const own = interfaces?.find(({ mac_address }) => mac_address === machine.mac)
    expect(own).toMatchObject({ driver: 'virtio_net', vendor: '0x1af4', has_carrier: true })
    const buses = (posted['pci_devices'] as { bus: string }[]).map(({ bus }) => bus)
    expect(buses).toContain(own?.['pci_address'])
    expect(disks).toMatchObject([{ name: '/dev/vda', vendor: '0x1af4', serial: machine.name }])
  })

  const inventoryLater = async () => {
    const { outputs }: ProbeReport = await probe.report
    return JSON.parse(outputs[0] ?? '') as Inventory
  }

  test('has a BMC, asked over KCS, with one LAN channel and no IPv6', async () => {
    expect(await inventoryLater()).toMatchObject({
      ...{ bmc_address: BMC_NETWORK.ip_addr, bmc_mac: BMC_NETWORK.mac_addr },
      bmc_v6address: '::/0',
    })
  })

  test('tells members of a bond apart by their permanent addresses', async () => {
    const { interfaces } = await inventoryLater()
    const members = interfaces.filter(({ driver }) => driver === 'e1000e')
    expect(members.map(({ mac_address }) => mac_address).sort()).toEqual([...SERVER_NICS])
    // what each of them is able to, by ethtool
    for (const each of members) expect(each).toMatchObject({ speed_mbps: 1000, vendor: '0x8086' })
    const bond = interfaces.find(({ name }) => name === 'bond0')
    expect(SERVER_NICS).toContain(bond?.mac_address)
  })
})
