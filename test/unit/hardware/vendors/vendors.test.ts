import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { loadHardware } from '../../../../agent/hardware/dispatcher.ts'
import { createGenericManager } from '../../../../agent/hardware/generic/generic-manager.ts'
import { createIntelCnaManager } from '../../../../agent/hardware/vendors/intel-cna.ts'
import { createMellanoxManager, identityOf } from '../../../../agent/hardware/vendors/mellanox.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'
import { defaultConfig } from '../../../support/config.ts'
import { lsblkOutput, machineWith, NIC_FILES } from '../machine-fixture.ts'

const NOBODY = { has: () => false, stepNames: () => [], ask: async () => undefined }
const log = createLogger({ level: 'silent' })

/** The interface of docs.kernel.org's IPoIB: 20 bytes, of which the last eight are the port's GUID. */
const ADDRESS = 'a0:00:00:27:fe:80:00:00:00:00:00:00:7c:fe:90:03:00:29:26:52'
const INFINIBAND = {
  ...NIC_FILES,
  '/sys/class/net/ib0/address': `${ADDRESS}\n`,
  '/sys/class/net/ib0/carrier': '1\n',
  '/sys/class/net/ib0/device': '-> ../../../devices/pci0000:00/0000:02:00.0',
  '/sys/devices/pci0000:00/0000:02:00.0/vendor': '0x15b3\n',
  '/sys/devices/pci0000:00/0000:02:00.0/device': '0x1017\n',
}

describe('Mellanox', () => {
  test('an InfiniBand interface has a MAC and a client id made of its GUID', async () => {
    await using machine = await machineWith(INFINIBAND, { lsblk: lsblkOutput([]) })
    await using hardware = await loadHardware([
      createMellanoxManager({ ...machine, config: defaultConfig(), log }),
      createGenericManager({ ...machine, config: defaultConfig(), log }),
    ])
    expect(Object.keys(hardware.versions())).toEqual([
      'MellanoxDeviceHardwareManager',
      'generic_hardware_manager',
    ])
    const interfaces = await hardware.dispatch('listNetworkInterfaces')
    expect(interfaces.find(({ name }) => name === 'ib0')).toMatchObject({
      mac_address: '7c:fe:90:29:26:52',
      client_id: 'ff:00:00:00:00:00:02:00:00:02:c9:00:7c:fe:90:03:00:29:26:52',
      vendor: '0x15b3',
      product: '0x1017',
      has_carrier: true,
      pci_address: '0000:02:00.0',
    })
    expect(interfaces.find(({ name }) => name === 'eno1')).toMatchObject({
      mac_address: '52:54:00:aa:bb:01',
      client_id: null,
    })
  })

  test('a machine without such a NIC does without the manager', async () => {
    await using machine = await machineWith(NIC_FILES)
    expect(
      await createMellanoxManager({
        ...machine,
        config: defaultConfig(),
        log,
      }).evaluateHardwareSupport(),
    ).toBe(0)
  })

  test.each(['52:54:00:aa:bb:01', '', `${ADDRESS}:00`])('no identity is made of %j', (address) => {
    expect(identityOf(address)).toBeUndefined()
  })
})

describe('Intel CNA', () => {
  const CARD = {
    '/sys/class/net/eno1/device/driver/module': '-> ../../../../module/i40e',
    '/sys/kernel/debug/i40e/0000:03:00.0/command': '',
    '/sys/kernel/debug/i40e/0000:03:00.1/command': '',
  }
  const stopped = async (files: Readonly<Record<string, string>>, collectsLldp: boolean) => {
    await using machine = await machineWith(files)
    const config = { ...defaultConfig(), collect_lldp: collectsLldp }
    const manager = createIntelCnaManager({ ...machine, config, log })
    const support = await manager.evaluateHardwareSupport()
    await manager.initialize?.(NOBODY)
    const cards = await machine.root.list('/sys/kernel/debug/i40e')
    const texts = await Promise.all(
      cards.map((card) => {
        const path = machine.root.path(`/sys/kernel/debug/i40e/${card}/command`)
        return readFile(path, 'utf8').catch(() => 'none')
      }),
    )
    return { support, texts }
  }

  test('the LLDP agent of each card is stopped where LLDP is wanted', async () => {
    expect(await stopped(CARD, true)).toEqual({ support: 2, texts: ['lldp stop', 'lldp stop'] })
  })

  test('it goes on where nobody listens', async () => {
    expect(await stopped(CARD, false)).toEqual({ support: 2, texts: ['', ''] })
  })

  test('a card that cannot be told does not keep the others from it', async () => {
    const files = {
      '/sys/class/net/eno1/device/driver/module': '-> ../../../../module/i40e',
      '/sys/kernel/debug/i40e/0000:03:00.0/nothing': '',
      '/sys/kernel/debug/i40e/0000:03:00.1/command': '',
    }
    expect((await stopped(files, true)).texts).toEqual(['none', 'lldp stop'])
  })

  test('a machine with another driver does without the manager', async () => {
    const files = { '/sys/class/net/eno1/device/driver/module': '-> ../../../../module/igb' }
    expect((await stopped(files, true)).support).toBe(0)
  })
})
