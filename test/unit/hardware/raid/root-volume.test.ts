import { describe, expect, test } from 'vitest'
import { GiB } from '../../../../agent/core/units.ts'
import { Overrides } from '../../../../agent/hardware/generic/overrides.ts'
import { createRootDiskFinder } from '../../../../agent/hardware/generic/root-disk.ts'
import { createRootVolumes } from '../../../../agent/hardware/raid/root-volume.ts'
import { parseTargetConfig } from '../../../../agent/hardware/raid/target-config.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'
import { diskWith } from '../disk-fixture.ts'

const held = { reason: 'sda1 is a member of the RAID array md126', isWanted: false }
const DISKS = [
  diskWith({ name: '/dev/sda', leftAlone: held, raidVolumes: ['root', 'data'] }),
  diskWith({ name: '/dev/sdb', sizeBytes: 8 * GiB }),
  diskWith({ name: '/dev/md126', raidVolumes: ['data'], sizeBytes: 5 * GiB, serials: [] }),
  diskWith({ name: '/dev/md127', raidVolumes: ['root'], sizeBytes: 50 * GiB, serials: [] }),
]
const volume = (volume_name: string, is_root_volume?: boolean) => ({
  controller: 'software',
  raid_level: '1',
  size_gb: 10,
  volume_name,
  is_root_volume,
})
const configOf = (...logical_disks: unknown[]) => ({ logical_disks })

/** The root disk of a node, after arrays were made in this boot. */
async function rootOf(node: Record<string, unknown>, made?: ReturnType<typeof configOf>) {
  const rootVolumes = createRootVolumes()
  if (made) rootVolumes.made(parseTargetConfig(made))
  const finder = createRootDiskFinder({
    overrides: new Overrides(),
    listDisks: async () => DISKS,
    rootVolumes,
    log: createLogger({ level: 'silent' }),
    waitAttempts: 0,
    waitDelayMs: 1,
  })
  return (await finder.find(node)).name
}

describe('the root disk of a node with RAID', () => {
  test('is the smallest disk where nobody says which volume it is', async () => {
    expect(await rootOf({})).toBe('/dev/md126')
    expect(await rootOf({}, configOf(volume('root'), volume('data')))).toBe('/dev/md126')
  })

  test('is the root volume that was made in this boot, whatever the hints say', async () => {
    const made = configOf(volume('root', true), volume('data', false))
    const hints = { instance_info: { root_device: { name: '/dev/sdb' } } }
    expect(await rootOf(hints, made)).toBe('/dev/md127')
  })

  test('is the root volume of raid_config after another boot', async () => {
    expect(await rootOf({ raid_config: configOf(volume('root', true)) })).toBe('/dev/md127')
  })

  test('is no other one where the root volume that was made in this boot is not there, or is excluded', async () => {
    const late = configOf(volume('late', true), volume('data'))
    await expect(rootOf({}, late)).rejects.toMatchObject({
      type: 'DeviceNotFound',
      details: expect.stringContaining('and no array of that name is there'),
    })
    const node = { properties: { skip_block_devices: [{ name: '/dev/md127' }] } }
    const made = configOf(volume('root', true))
    await expect(rootOf(node, made)).rejects.toThrow(/md127 must be left alone: skip_block_devices/)
  })

  test('is not a volume with is_root_volume false', async () => {
    const node = { raid_config: configOf(volume('root'), volume('data', false)) }
    expect(await rootOf(node)).toBe('/dev/sdb')
    const hinted = { ...node, properties: { root_device: { name: '/dev/md126' } } }
    await expect(rootOf(hinted)).rejects.toThrow(/md126 .*data has is_root_volume false/)
  })

  test.each([
    ['of another controller', configOf({ ...volume('root', true), controller: 'RAID.1' })],
    ['that nobody can read', configOf({ ...volume('root', true), size_gb: {} })],
    ['of arrays that are no more', configOf(volume('old', true))],
  ])('does not come from a raid_config %s', async (_, raid_config) => {
    expect(await rootOf({ raid_config })).toBe('/dev/md126')
  })

  test('is no root volume that skip_block_devices names', async () => {
    const node = {
      properties: { skip_block_devices: [{ volume_name: 'root' }] },
      raid_config: configOf(volume('root', true)),
    }
    expect(await rootOf(node)).not.toBe('/dev/md127')
  })
})
