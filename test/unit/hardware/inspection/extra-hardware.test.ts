import { describe, expect, test } from 'vitest'
import { collectExtraHardware } from '../../../../agent/hardware/inspection/extra-hardware.ts'
import { wireDisk, wireInterface, wireInventory } from '../wire-fixture.ts'
import { callOn } from './inspection-fixture.ts'

const INVENTORY = wireInventory({
  interfaces: [wireInterface({ speed_mbps: 1000, pci_address: '0000:01:00.0', driver: 'igb' })],
  cpu: {
    model_name: 'EPYC',
    frequency: '2445.4',
    count: 4,
    architecture: 'x86_64',
    flags: ['fpu', 'aes'],
    socket_count: 1,
  },
  disks: [
    wireDisk({
      size: 480_103_981_056,
      vendor: 'ATA',
      model: 'SAMSUNG',
      physical_sectors: 4096,
      wwn: '0x5002538e',
    }),
  ],
  memory: { total: 1_000_000, physical_mb: 2 },
  system_vendor: {
    product_name: 'R640',
    serial_number: 'ABC',
    manufacturer: 'Dell Inc.',
    firmware: { vendor: 'Dell Inc.', version: '2.12.2', build_date: '07/09/2021' },
  },
})

const methods = { listHardwareInfo: async () => INVENTORY }

describe('extra-hardware', () => {
  test('is what hardware-detect prints, without the token of the kernel line', async () => {
    const items = [
      ['cpu', 'physical', 'number', 1],
      ['system', 'kernel', 'cmdline', 'quiet ipa-agent-token=0123456789abcdef0123456789abcdef'],
    ]
    await using lab = await callOn({ answers: { 'hardware-detect': JSON.stringify(items) } })
    const { data } = await collectExtraHardware(lab.call)
    expect(data).toEqual([items[0], ['system', 'kernel', 'cmdline', 'quiet ipa-agent-token=***']])
    expect(lab.ran).toEqual(['hardware-detect'])
  })

  test('has the benchmarks run that are asked for and known', async () => {
    await using lab = await callOn({
      answers: { 'hardware-detect': '[]' },
      benchmarks: ['cpu', '--benchmark-disk-destructive', 'mem'],
    })
    expect(await collectExtraHardware(lab.call)).toEqual({ data: [] })
    expect(lab.ran).toEqual(['hardware-detect --benchmark cpu mem'])
    expect(lab.failures).toEqual([
      'benchmark --benchmark-disk-destructive is not known; there are cpu, disk, mem',
    ])
  })

  test('without it is what the inventory says, in the same form', async () => {
    await using lab = await callOn({
      methods,
      files: { '/proc/cmdline': 'quiet\n', '/proc/sys/kernel/osrelease': '6.1.0\n' },
    })
    expect(await collectExtraHardware(lab.call)).toEqual({
      data: [
        ['disk', 'logical', 'count', '1'],
        ['disk', 'sda', 'size', '480'],
        ['disk', 'sda', 'vendor', 'ATA'],
        ['disk', 'sda', 'model', 'SAMSUNG'],
        ['disk', 'sda', 'physical_block_size', '4096'],
        ['disk', 'sda', 'rotational', '0'],
        ['disk', 'sda', 'wwn-id', 'wwn-0x5002538e'],
        ['system', 'product', 'serial', 'ABC'],
        ['system', 'product', 'name', 'R640'],
        ['system', 'product', 'vendor', 'Dell Inc.'],
        ['firmware', 'bios', 'version', '2.12.2'],
        ['firmware', 'bios', 'date', '07/09/2021'],
        ['firmware', 'bios', 'vendor', 'Dell Inc.'],
        ['memory', 'total', 'size', '2097152'],
        ['network', 'eno1', 'businfo', 'pci@0000:01:00.0'],
        ['network', 'eno1', 'size', '1000000000'],
        ['network', 'eno1', 'link', 'yes'],
        ['network', 'eno1', 'driver', 'igb'],
        ['network', 'eno1', 'serial', '52:54:00:aa:bb:01'],
        ['cpu', 'physical', 'number', 1],
        ['cpu', 'physical_0', 'product', 'EPYC'],
        ['cpu', 'physical_0', 'architecture', 'x86_64'],
        ['cpu', 'physical_0', 'flags', 'fpu aes'],
        ['cpu', 'physical_0', 'max_Mhz', 2445.4],
        ['cpu', 'logical', 'number', 4],
        ['system', 'kernel', 'version', '6.1.0'],
        ['system', 'kernel', 'arch', 'x86_64'],
        ['system', 'kernel', 'cmdline', 'quiet'],
      ],
    })
    expect(lab.failures).toEqual([])
  })

  test('without it a benchmark is a failure that says what it needs', async () => {
    await using lab = await callOn({ methods, benchmarks: ['cpu', 'disk'] })
    expect(await collectExtraHardware(lab.call)).toHaveProperty('data.0', [
      ...['disk', 'logical', 'count', '1'],
    ])
    expect(lab.failures).toEqual([
      expect.stringMatching(/^benchmark cpu, disk needs hardware-detect/),
    ])
  })

  test.each(['no JSON', '{"a": 1}'])('fails where it prints %s', async (text) => {
    await using lab = await callOn({ answers: { 'hardware-detect': text } })
    await expect(collectExtraHardware(lab.call)).rejects.toThrow(/hardware-detect/)
  })
})
