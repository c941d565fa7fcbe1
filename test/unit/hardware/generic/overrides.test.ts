import { describe, expect, test } from 'vitest'
import { type Hardware, loadHardware } from '../../../../agent/hardware/dispatcher.ts'
import { createGenericManager } from '../../../../agent/hardware/generic/generic-manager.ts'
import type { WireDisk } from '../../../../agent/hardware/inventory.ts'
import type { HardwareManager } from '../../../../agent/hardware/manager.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'
import { defaultConfig } from '../../../support/config.ts'
import { lsblkOutput, machineWith, NIC_FILES } from '../machine-fixture.ts'
import { callWith, managerWith } from '../manager-fixture.ts'
import { wireDisk, wireInterface } from '../wire-fixture.ts'

const LSBLK = lsblkOutput([
  { kname: 'sda', name: 'sda', model: 'SYSTEM', serial: 'A1' },
  { kname: 'sdb', name: 'sdb', model: 'TAPE LUN', serial: 'B2' },
])

/** The generic manager of a machine with two disks, behind one of another maker. */
async function withManager(
  parts: Partial<HardwareManager>,
  use: (hardware: Hardware) => Promise<void>,
): Promise<void> {
  await using machine = await machineWith(NIC_FILES, { lsblk: LSBLK, udevadm: '', blkid: '' })
  const log = createLogger({ level: 'silent' })
  await using hardware = await loadHardware([
    managerWith('Acme', 2, parts),
    createGenericManager({
      ...machine,
      config: { ...defaultConfig(), disk_wait_attempts: 0 },
      log,
    }),
  ])
  await use(hardware)
}

const names = (list: readonly { readonly name: string }[]) => list.map(({ name }) => name)
const hidingB: Partial<HardwareManager> = {
  filterDevice: async (kind, device) =>
    kind === 'disk' && device.name === '/dev/sdb' ? null : device,
}

describe('a disk that a manager hides', () => {
  test('is in no list, and is no root disk though a hint names it', async () => {
    await withManager(hidingB, async (hardware) => {
      expect(names((await hardware.dispatch('listHardwareInfo')).disks)).toEqual(['/dev/sda'])
      expect(names(await hardware.dispatch('listBlockDevices', undefined))).toEqual(['/dev/sda'])
      const node = { properties: { root_device: { name: '/dev/sdb' } } }
      await expect(hardware.dispatch('getOsInstallDevice', node)).rejects.toMatchObject({
        type: 'DeviceNotFound',
        details: expect.stringContaining('a hardware manager hides it'),
      })
    })
  })

  test('is not erased, and the result says so', async () => {
    const erased: string[] = []
    const parts: Partial<HardwareManager> = {
      ...hidingB,
      eraseBlockDevice: async (_node, { name }) => {
        erased.push(name)
        return 'by acme'
      },
    }
    await withManager(parts, async (hardware) => {
      expect(await hardware.runStep('clean', 'erase_devices', callWith())).toEqual({
        '/dev/sda': 'by acme',
        '/dev/sdb': 'left alone: a hardware manager hides it',
      })
    })
    expect(erased).toEqual(['/dev/sda'])
  })

  test('is not touched where the manager fails to say whether it hides it', async () => {
    const parts: Partial<HardwareManager> = {
      filterDevice: async () => {
        throw new Error('card does not answer')
      },
      eraseBlockDevice: async () => expect.unreachable(),
    }
    await withManager(parts, async (hardware) => {
      await expect(hardware.runStep('clean', 'erase_devices', callWith())).rejects.toThrow(
        'card does not answer',
      )
    })
  })
})

test('a disk that the manager which lists them leaves out counts as hidden', async () => {
  const listing = (own: readonly Partial<WireDisk>[]): Partial<HardwareManager> => ({
    listDisks: async () => own.map((disk) => ({ ...BARE, ...disk })),
  })
  await withManager(listing([{ name: '/dev/sda', serial: 'STICKER-1' }]), async (hardware) => {
    const [disk, ...others] = await hardware.dispatch('listBlockDevices', undefined)
    expect(others).toEqual([])
    expect(disk).toMatchObject({ name: '/dev/sda', serial: 'STICKER-1', sizeBytes: 107374182400 })
    expect(disk?.serials).toEqual(['STICKER-1', 'A1'])
  })
  await withManager(listing([]), async (hardware) => {
    expect(await hardware.dispatch('listBlockDevices', undefined)).toEqual([])
  })
})

describe('the skip lists of a manager', () => {
  const parts: Partial<HardwareManager> = {
    getSkipListFromNodeForDisks: async (_node, disks) =>
      names(disks.filter(({ model }) => model?.includes('TAPE'))),
    eraseBlockDevice: async () => 'by acme',
  }
  const node = { uuid: 'n', properties: { skip_block_devices: [{ name: '/dev/sda' }] } }

  test('take the place of those of the node, in lists and in steps', async () => {
    await withManager(parts, async (hardware) => {
      expect(names(await hardware.dispatch('listBlockDevices', node))).toEqual(['/dev/sda'])
      const call = { ...callWith(), node }
      expect(await hardware.runStep('clean', 'erase_devices', call)).toEqual({
        '/dev/sda': 'by acme',
        '/dev/sdb': 'left alone: skip_block_devices excludes it',
      })
    })
  })

  test('may look for what the node says of disks, which steps do not change', async () => {
    const bySerial: Partial<HardwareManager> = {
      getSkipListFromNodeForDisks: async ({ properties }, disks) => {
        const hints = (properties as { skip_block_devices: { serial?: string }[] })
          .skip_block_devices
        return names(disks.filter(({ serial }) => hints.some((hint) => hint.serial === serial)))
      },
      eraseBlockDevice: async () => 'by acme',
    }
    await withManager(bySerial, async (hardware) => {
      const call = {
        ...callWith(),
        node: { uuid: 'n', properties: { skip_block_devices: [{ serial: 'B2' }] } },
      }
      expect(await hardware.runStep('clean', 'erase_devices', call)).toEqual({
        '/dev/sda': 'by acme',
        '/dev/sdb': 'left alone: skip_block_devices excludes it',
      })
    })
  })

  test('with a name that no disk bears fail the step, and nothing is erased', async () => {
    const erased: string[] = []
    const misnaming: Partial<HardwareManager> = {
      getSkipListFromNodeForDisks: async () => ['sdb'],
      eraseBlockDevice: async (_node, { name }) => `erased ${erased.push(name)}`,
    }
    await withManager(misnaming, async (hardware) => {
      const step = hardware.runStep('clean', 'erase_devices', { ...callWith(), node })
      await expect(step).rejects.toMatchObject({
        type: 'HardwareManagerConfigurationError',
        details: expect.stringContaining('sdb to be skipped, and no disk bears that name'),
      })
    })
    expect(erased).toEqual([])
  })

  test('that cannot be had fail the step', async () => {
    const failing = {
      ...parts,
      getSkipListFromNodeForRaids: () => Promise.reject(new Error('no answer')),
    }
    await withManager(failing, async (hardware) => {
      const step = hardware.runStep('clean', 'erase_devices', { ...callWith(), node })
      await expect(step).rejects.toThrow('no answer')
    })
  })
})

describe('the root disk that a manager chooses', () => {
  const choosing = (path: string) => ({ chooseOsInstallDevice: async () => path })

  test('goes before hints', async () => {
    await withManager(choosing('/dev/sdb'), async (hardware) => {
      const node = { properties: { root_device: { name: '/dev/sda' } } }
      expect((await hardware.dispatch('getOsInstallDevice', node)).name).toBe('/dev/sdb')
    })
  })

  test('must be a disk that may be written to', async () => {
    await withManager(choosing('/dev/sdz'), async (hardware) => {
      await expect(hardware.dispatch('getOsInstallDevice', {})).rejects.toMatchObject({
        type: 'DeviceNotFound',
        details: 'a hardware manager chooses /dev/sdz as the root disk: it is no disk',
      })
    })
    await withManager({ ...hidingB, ...choosing('/dev/sdb') }, async (hardware) => {
      await expect(hardware.dispatch('getOsInstallDevice', {})).rejects.toMatchObject({
        details: expect.stringContaining('a hardware manager hides it'),
      })
    })
  })
})

test('each question of the inventory goes to the others first', async () => {
  const parts: Partial<HardwareManager> = {
    getBmcAddress: async () => '192.0.2.7',
    getMemory: async () => ({ total: 5, physical_mb: 6 }),
    getInterfaceInfo: async (name) => ({ ...NIC, name }),
    filterDevice: async (kind, device) =>
      kind === 'interface' && device.name === 'bond0' ? null : device,
  }
  await withManager(parts, async (hardware) => {
    const inventory = await hardware.dispatch('listHardwareInfo')
    expect(inventory).toMatchObject({
      bmc_address: '192.0.2.7',
      memory: { total: 5, physical_mb: 6 },
      boot: { current_boot_mode: 'bios' },
    })
    expect(inventory.interfaces.map((one) => `${one.name} ${one.driver}`)).toEqual([
      'eno1 acme',
      'eno1.100 acme',
    ])
  })
})

const BARE = wireDisk({ name: '', size: 1, logical_sectors: null, physical_sectors: null })
const NIC = wireInterface({ driver: 'acme' })
