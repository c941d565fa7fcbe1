import { describe, expect, test } from 'vitest'
import { readUsbDevices } from '../../../../agent/hardware/collectors/usb.ts'
import { collectNumaTopology } from '../../../../agent/hardware/inspection/numa-topology.ts'
import { collectPciDevices } from '../../../../agent/hardware/inspection/pci-devices.ts'
import { collectUsbDevices } from '../../../../agent/hardware/inspection/usb-devices.ts'
import { callOn } from './inspection-fixture.ts'

describe('pci-devices', () => {
  const DEVICE = '/sys/bus/pci/devices/0000:3b:00.0'
  const FILES = {
    [`${DEVICE}/vendor`]: '0x8086\n',
    [`${DEVICE}/device`]: '0x1572\n',
    [`${DEVICE}/class`]: '0x020000\n',
  }

  test('says what sysfs says, numbers without 0x', async () => {
    await using lab = await callOn({
      files: { ...FILES, [`${DEVICE}/revision`]: '0x02\n', [`${DEVICE}/numa_node`]: '1\n' },
    })
    expect(await collectPciDevices(lab.call)).toEqual({
      pci_devices: [
        {
          vendor_id: '8086',
          product_id: '1572',
          class: '020000',
          revision: '02',
          bus: '0000:3b:00.0',
          numa_node_id: '1',
        },
      ],
    })
    expect(lab.failures).toEqual([])
  })

  test('what old kernels do not say is null, and a device that says nothing is left out', async () => {
    await using lab = await callOn({
      files: { ...FILES, '/sys/bus/pci/devices/0000:00:1f.0/vendor': 'ffff\n' },
    })
    expect(await collectPciDevices(lab.call)).toMatchObject({
      pci_devices: [{ bus: '0000:3b:00.0', revision: null, numa_node_id: null }],
    })
  })

  test('a machine without PCI is no failure', async () => {
    await using lab = await callOn({})
    expect(await collectPciDevices(lab.call)).toEqual({ pci_devices: [] })
    expect(lab.failures).toEqual([])
  })
})

test('usb-devices are what is plugged in: no hubs, no interfaces of a device', async () => {
  const at = (name: string, facts: Record<string, string>) =>
    Object.fromEntries(
      Object.entries(facts).map(([key, value]) => [`/sys/bus/usb/devices/${name}/${key}`, value]),
    )
  await using lab = await callOn({
    files: {
      ...at('usb1', { bDeviceClass: '09', product: 'xHCI Host Controller' }),
      ...at('1-1', {
        bDeviceClass: '00',
        busnum: '1\n',
        devnum: '2\n',
        product: 'Virtual Keyboard and Mouse\n',
        manufacturer: 'American Megatrends Inc.\n',
      }),
      ...at('1-1:1.0', { bInterfaceClass: '03' }),
      ...at('1-2', { bDeviceClass: 'ff', busnum: '1\n', devnum: '3\n' }),
    },
  })
  expect(await readUsbDevices(lab.call.root)).toEqual([
    {
      product: 'Virtual Keyboard and Mouse',
      vendor: 'American Megatrends Inc.',
      handle: 'USB:1:2',
    },
    { product: '', vendor: '', handle: 'USB:1:3' },
  ])
})

test('usb-devices asks the hardware managers', async () => {
  const device = { product: 'Dongle', vendor: 'ACME', handle: 'USB:1:7' }
  await using lab = await callOn({ methods: { getUsbDevices: async () => [device] } })
  expect(await collectUsbDevices(lab.call)).toEqual({ usb_devices: [device] })
})

describe('numa-topology', () => {
  const node = (id: number, cpus: Record<number, number>) => ({
    [`/sys/devices/system/node/node${id}/meminfo`]: `Node ${id} MemTotal:       16384 kB\n`,
    ...Object.fromEntries(
      Object.entries(cpus).map(([cpu, core]) => [
        `/sys/devices/system/node/node${id}/cpu${cpu}/topology/core_id`,
        `${core}\n`,
      ]),
    ),
  })

  test('has memory, cores with their threads, and interfaces by node', async () => {
    await using lab = await callOn({
      files: {
        ...node(0, { 0: 0, 1: 1, 10: 0 }),
        ...node(1, { 2: 0 }),
        '/sys/devices/system/node/online': '0-1\n',
        '/sys/class/net/eno1/device/numa_node': '1\n',
        '/sys/class/net/virtio0/device/numa_node': '-1\n',
        '/sys/class/net/lo/address': '00:00:00:00:00:00\n',
      },
    })
    expect(await collectNumaTopology(lab.call)).toEqual({
      numa_topology: {
        ram: [
          { numa_node: 0, size_kb: 16384 },
          { numa_node: 1, size_kb: 16384 },
        ],
        cpus: [
          { cpu: 0, numa_node: 0, thread_siblings: [0, 10] },
          { cpu: 1, numa_node: 0, thread_siblings: [1] },
          { cpu: 0, numa_node: 1, thread_siblings: [2] },
        ],
        nics: [
          { name: 'eno1', numa_node: 1 },
          { name: 'virtio0', numa_node: -1 },
        ],
      },
    })
  })

  test('of a node without memory figures there is none: half of it would pass for all', async () => {
    await using lab = await callOn({
      files: { ...node(0, { 0: 0 }), '/sys/devices/system/node/node1/cpulist': '1\n' },
    })
    await expect(collectNumaTopology(lab.call)).rejects.toThrow(/memory of NUMA node 1/)
  })

  test('a kernel without NUMA says nothing, which is no failure', async () => {
    await using lab = await callOn({})
    expect(await collectNumaTopology(lab.call)).toEqual({})
    expect(lab.failures).toEqual([])
  })
})
