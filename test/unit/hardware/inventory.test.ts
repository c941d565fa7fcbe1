import { writeFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Config } from '../../../agent/config/options.ts'
import { OPTIONS } from '../../../agent/config/options.ts'
import { AgentError } from '../../../agent/core/errors.ts'
import { parseCpu } from '../../../agent/hardware/collectors/cpus.ts'
import { parseModulesMiB, readMemory } from '../../../agent/hardware/collectors/memory.ts'
import { createGenericManager } from '../../../agent/hardware/generic/generic-manager.ts'
import type { WireInterface } from '../../../agent/hardware/inventory.ts'
import type { Exec } from '../../../agent/system/exec.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { lsblkOutput, machineWith, NIC_FILES } from './machine-fixture.ts'
import { wireCpu, wireDisk, wireInventory } from './wire-fixture.ts'

const defaults = Object.fromEntries(
  Object.entries(OPTIONS).map(([name, row]) => [name, row.default]),
) as unknown as Config

const LSCPU = `Architecture:            x86_64
CPU(s):                  16
On-line CPU(s) list:     0-15
Model name:              Intel(R) Xeon(R) E-2288G CPU @ 3.70GHz
Socket(s):               1
CPU max MHz:             5000.0000
Flags:                   fpu vme de
`

describe('the cpu', () => {
  test('is what lscpu says', () => {
    expect(parseCpu(LSCPU, '')).toEqual({
      model_name: 'Intel(R) Xeon(R) E-2288G CPU @ 3.70GHz',
      frequency: '5000.0000',
      count: 16,
      architecture: 'x86_64',
      flags: ['fpu', 'vme', 'de'],
      socket_count: 1,
    })
  })

  test('without lscpu is what /proc/cpuinfo says', () => {
    const one = 'model name\t: EPYC\ncpu MHz\t\t: 2445.4\nflags\t\t: fpu aes\n'
    expect(parseCpu('', `processor\t: 0\n${one}\nprocessor\t: 1\n${one}`)).toEqual({
      model_name: 'EPYC',
      frequency: '2445.4',
      count: 2,
      architecture: null,
      flags: ['fpu', 'aes'],
      socket_count: null,
    })
  })
})

describe('memory', () => {
  const FILES = {
    '/proc/meminfo': 'MemTotal:       32780552 kB\nMemFree: 1 kB\n',
    '/sys/devices/system/memory/block_size_bytes': '8000000\n',
    '/sys/devices/system/memory/memory0/online': '1\n',
    '/sys/devices/system/memory/memory7/online': '1\n',
    '/sys/devices/system/memory/power/control': 'auto\n',
  }

  test('is what the kernel has, and the modules that the firmware names', async () => {
    const modules = ['16 GB', 'No Module Installed', '512 MiB', 'Unknown']
      .map((size) => `Memory Device\n\tSize: ${size}\n\tVolatile Size: 7 GB\n\tCache Size: 1 GB\n`)
      .join('\n')
    await using machine = await machineWith(FILES, { 'dmidecode --type 17': modules })
    expect(await readMemory(machine)).toEqual({ total: 32780552 * 1024, physical_mb: 16896 })
  })

  test('counts modules of any size in either spelling', () => {
    const units = { kB: 2 ** -10, MB: 1, MiB: 1, GB: 1024, GiB: 1024 }
    const unit = fc.constantFrom(...(Object.keys(units) as (keyof typeof units)[]))
    const modules = fc.array(fc.tuple(fc.integer({ min: 1, max: 32767 }), unit), { minLength: 1 })
    fc.assert(
      fc.property(modules, (sizes) => {
        const text = sizes.map(([count, name]) => `Memory Device\n\tSize: ${count} ${name}\n`)
        const sum = sizes.reduce((mib, [count, name]) => mib + count * units[name], 0)
        expect(parseModulesMiB(text.join('\n'))).toBe(Math.round(sum))
      }),
    )
  })

  test.each([{}, { dmidecode: 'Memory Device\n\tSize: No Module Installed\n' }])(
    'is the blocks that the kernel got where the firmware names no module',
    async (answers) => {
      await using machine = await machineWith(FILES, answers)
      expect(await readMemory(machine)).toEqual({ total: 32780552 * 1024, physical_mb: 256 })
    },
  )
})

describe('the inventory', () => {
  const KEYS = [
    'interfaces',
    'cpu',
    'disks',
    'memory',
    'bmc_address',
    'bmc_v6address',
    'system_vendor',
    'boot',
    'hostname',
  ]

  test('has every key of the contract on a machine that tells nothing', async () => {
    await using machine = await machineWith({}, { lsblk: lsblkOutput([]) })
    const inventory = await managerOf(machine, defaults).listHardwareInfo?.()
    expect(Object.keys(inventory ?? {})).toEqual(KEYS)
    expect(inventory).toEqual(wireInventory({ cpu: wireCpu({ count: null }) }))
  })

  test('tells vendor, firmware, boot mode, PXE interface, host name and disks', async () => {
    await using machine = await machineWith(
      {
        '/sys/class/dmi/id/sys_vendor': 'Dell Inc.\n',
        '/sys/class/dmi/id/product_name': 'PowerEdge R640\n',
        '/sys/class/dmi/id/product_sku': 'SKU=0716\n',
        '/sys/class/dmi/id/product_serial': 'ABC123\n',
        '/sys/class/dmi/id/bios_vendor': 'Dell Inc.\n',
        '/sys/class/dmi/id/bios_version': '2.12.2\n',
        '/sys/class/dmi/id/bios_date': '07/09/2021\n',
        '/sys/firmware/efi/fw_platform_size': '64\n',
        '/proc/sys/kernel/hostname': 'ramdisk\n',
        '/dev/ipmi0': '',
      },
      {
        lsblk: lsblkOutput([{ kname: 'sda', model: 'M', tran: 'sata', 'phy-sec': 4096 }]),
        'ipmitool lan print 1': 'IP Address : 192.0.2.9\nMAC Address : aa:bb:cc:00:00:09\n',
      },
    )
    const config = { ...defaults, bootif: '01-52-54-00-AA-bb-01' }
    expect(await managerOf(machine, config).listHardwareInfo?.()).toMatchObject({
      system_vendor: {
        product_name: 'PowerEdge R640 (SKU=0716)',
        serial_number: 'ABC123',
        manufacturer: 'Dell Inc.',
        firmware: { vendor: 'Dell Inc.', version: '2.12.2', build_date: '07/09/2021' },
      },
      boot: { current_boot_mode: 'uefi', pxe_interface: '01-52-54-00-AA-bb-01' },
      hostname: 'ramdisk',
      bmc_address: '192.0.2.9',
      bmc_mac: 'aa:bb:cc:00:00:09',
      disks: [wireDisk({ model: 'M', size: 107374182400, physical_sectors: 4096, tran: 'sata' })],
    })
  })

  test('asks the BMC once, however often it is taken', async () => {
    await using machine = await machineWith({ '/dev/ipmi0': '' }, { lsblk: lsblkOutput([]) })
    const manager = managerOf(machine, defaults)
    await manager.listHardwareInfo?.()
    const asked = machine.ran.filter((line) => line.startsWith('ipmitool')).length
    await manager.listHardwareInfo?.()
    expect(asked).toBeGreaterThan(0)
    expect(machine.ran.filter((line) => line.startsWith('ipmitool'))).toHaveLength(asked)
  })

  test('has the BMC that the kernel finds late', async () => {
    await using machine = await machineWith(
      { '/dev/null': '' },
      {
        lsblk: lsblkOutput([]),
        'ipmitool lan print 1': 'IP Address : 192.0.2.9\nMAC Address : aa:bb:cc:00:00:09\n',
      },
    )
    const manager = managerOf(machine, defaults)
    expect(await manager.listHardwareInfo?.()).toMatchObject({ bmc_address: null })
    await writeFile(machine.root.path('/dev/ipmi0'), '')
    expect(await manager.listHardwareInfo?.()).toMatchObject({
      ...{ bmc_address: '192.0.2.9', bmc_v6address: '::/0', bmc_mac: 'aa:bb:cc:00:00:09' },
    })
  })

  test('holds what switches say if asked to, listened for once', async () => {
    await using machine = await machineWith(NIC_FILES, { lsblk: lsblkOutput([]) })
    const frame = '0180c200000e02000000000188cc0207040a0b0c0d0e0f0403057031060200780000'
    const length = Buffer.alloc(4)
    length.writeUInt32LE(frame.length / 2)
    const headers = Buffer.from(`d4c3b2a1${'00'.repeat(28)}`, 'hex')
    const capture = Buffer.concat([headers, length, length, Buffer.from(frame, 'hex')])
    const heardOn: string[] = []
    const exec: Exec = async (argv, options = {}) => {
      if (argv[0] !== 'timeout') return await machine.exec(argv, options)
      const name = argv[argv.indexOf('-i') + 1] as string
      heardOn.push(name)
      if (name === 'eno1') options.onStdout?.(capture)
      throw new AgentError('ProcessError', 'tcpdump: the interface went down')
    }
    const manager = managerOf({ ...machine, exec }, { ...defaults, collect_lldp: true })
    const lldpOf = (list: readonly WireInterface[] = []) => list.map(({ lldp }) => lldp)
    const tlvs = [
      [1, '040a0b0c0d0e0f'],
      [2, '057031'],
      [3, '0078'],
      [0, ''],
    ]
    for (let taken = 0; taken < 2; taken++) {
      const inventory = await manager.listHardwareInfo?.()
      expect(lldpOf(inventory?.interfaces)).toEqual([[], tlvs, []])
    }
    expect(heardOn).toEqual(['bond0', 'eno1', 'eno1.100'])
    expect(lldpOf(await manager.listNetworkInterfaces?.())).toEqual([null, null, null])
  })

  test('does without the BMC when Ironic says so, and asks it when that is taken back', async () => {
    await using machine = await machineWith(
      { '/dev/ipmi0': '' },
      {
        lsblk: lsblkOutput([]),
        'ipmitool lan print 1': 'IP Address : 192.0.2.9\nMAC Address : aa:bb:cc:00:00:09\n',
      },
    )
    let isSkipped = true
    const manager = createGenericManager({
      ...machine,
      config: defaults,
      log: createLogger({ level: 'silent' }),
      skipsBmc: () => isSkipped,
    })
    const without = await manager.listHardwareInfo?.()
    expect(without).toMatchObject({ bmc_address: null, bmc_v6address: null })
    expect(without).not.toHaveProperty('bmc_mac')
    isSkipped = false
    expect(await manager.listHardwareInfo?.()).toMatchObject({ bmc_address: '192.0.2.9' })
  })

  test('has no LLDP where tcpdump is missing', async () => {
    await using machine = await machineWith(NIC_FILES, { lsblk: lsblkOutput([]) })
    const exec: Exec = async (argv, options = {}) => {
      if (argv[0] !== 'timeout') return await machine.exec(argv, options)
      return { stdout: '', stderr: '', exitCode: 127 }
    }
    const manager = managerOf({ ...machine, exec }, { ...defaults, collect_lldp: true })
    const inventory = await manager.listHardwareInfo?.()
    expect(inventory?.interfaces.map(({ lldp }) => lldp)).toEqual([null, null, null])
  })
})

function managerOf(machine: Awaited<ReturnType<typeof machineWith>>, config: Config) {
  const log = createLogger({ level: 'silent' })
  return createGenericManager({ ...machine, config, log })
}
